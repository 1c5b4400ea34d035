package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const portLinks = "/dev/virtio-ports"

// Drivers that are loaded when their node is opened. So the node has to exist before, and every user may open it. Where
// udev runs, it does both.
var loadOnOpen = []struct {
	path         string
	major, minor int
}{
	{"/dev/fuse", 10, 229},
	{"/dev/net/tun", 10, 200},
}

func makeDeviceNodes() error {
	for _, node := range loadOnOpen {
		if err := os.MkdirAll(filepath.Dir(node.path), 0o755); err != nil {
			return fmt.Errorf("make device directory: %w", err)
		}
		err := syscall.Mknod(node.path, syscall.S_IFCHR, node.major<<8|node.minor)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make device %s: %w", node.path, err)
		}
		// Not when the node is created, since the umask would apply.
		if err := os.Chmod(node.path, 0o666); err != nil {
			return fmt.Errorf("open device %s to all: %w", node.path, err)
		}
	}
	return nil
}

// linkVirtioPorts makes the usual link for every named virtio-serial port. Elsewhere udev makes these; a sandbox runs
// without it.
func linkVirtioPorts() error {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return fmt.Errorf("list virtio ports: %w", err)
	}
	if len(names) == 0 {
		return errors.New("no named virtio port: the host can't reach the agent")
	}
	if err := os.MkdirAll(portLinks, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", portLinks, err)
	}
	for _, file := range names {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read port name: %w", err)
		}
		name := strings.TrimSpace(string(content))
		if name == "" || strings.ContainsRune(name, '/') {
			continue
		}
		device := filepath.Base(filepath.Dir(file))
		if err := os.Symlink("../"+device, filepath.Join(portLinks, name)); err != nil {
			return fmt.Errorf("link port %s: %w", name, err)
		}
	}
	return nil
}
