// Command init is the first process of a sandbox's kernel. It loads the few drivers that are modules, mounts the root
// disk, sets up the network, copies the guest agent to /run and starts the root file system's init, or the guest agent
// itself where there is none.
package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const (
	rootDevice = "/dev/vda"
	newRoot    = "/newroot"
	agentPath  = "/run/opencomputer/agent"
)

func main() {
	if err := run(); err != nil {
		// The kernel panics when its first process ends; the console shows the reason.
		fmt.Fprintln(os.Stderr, "initramfs:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := mountKernelFileSystems(); err != nil {
		return err
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := mountRoot(); err != nil {
		return err
	}
	// A sandbox without network, or without a named port, still boots: the guest agent reports it.
	for _, step := range []func() error{configureNetwork, linkVirtioPorts, makeDeviceNodes} {
		if err := step(); err != nil {
			fmt.Fprintln(os.Stderr, "initramfs:", err)
		}
	}
	if err := placeAgent(); err != nil {
		return err
	}
	if err := switchRoot(); err != nil {
		return err
	}
	if _, err := os.Stat("/sbin/init"); err == nil {
		return start("/sbin/init")
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for /sbin/init: %w", err)
	}
	return start(agentPath)
}

// start replaces this process and returns only on failure.
func start(path string) error {
	environment := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=linux"}
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, []string{path}, environment))
}
