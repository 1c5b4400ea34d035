package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const deviceTimeout = 10 * time.Second

type mount struct {
	source, target, kind string
	flags                uintptr
	options              string
}

const restricted = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC

// systemd keeps what it finds mounted, so these are the options that it would use.
var kernelFileSystems = []mount{
	{"proc", "/proc", "proc", restricted, ""},
	{"sysfs", "/sys", "sysfs", restricted, ""},
	{"devtmpfs", "/dev", "devtmpfs", syscall.MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", "devpts", syscall.MS_NOSUID | syscall.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=000"},
	{"tmpfs", "/dev/shm", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=1777"},
	{"mqueue", "/dev/mqueue", "mqueue", restricted, ""},
	{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=0755,size=20%"},
}

func mountKernelFileSystems() error {
	for _, m := range kernelFileSystems {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

func mountRoot() error {
	if err := waitForDevice(rootDevice); err != nil {
		return err
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return fmt.Errorf("make mount point: %w", err)
	}
	if err := syscall.Mount(rootDevice, newRoot, "ext4", syscall.MS_NOATIME, "errors=remount-ro"); err != nil {
		return fmt.Errorf("mount root disk %s: %w", rootDevice, err)
	}
	return nil
}

func waitForDevice(path string) error {
	deadline := time.Now().Add(deviceTimeout)
	for {
		_, err := os.Stat(path)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("wait for device: %w", err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no root disk: %s did not appear within %s", path, deviceTimeout)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func placeAgent() error {
	source, err := os.Open("/agent")
	if err != nil {
		return fmt.Errorf("open agent: %w", err)
	}
	defer source.Close()
	if err := os.MkdirAll(filepath.Dir(agentPath), 0o755); err != nil {
		return fmt.Errorf("make agent directory: %w", err)
	}
	target, err := os.OpenFile(agentPath, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return fmt.Errorf("create agent: %w", err)
	}
	if _, err := io.Copy(target, source); err != nil {
		return fmt.Errorf("copy agent: %w", errors.Join(err, target.Close()))
	}
	if err := target.Close(); err != nil {
		return fmt.Errorf("close agent: %w", err)
	}
	return nil
}

// switchRoot frees the initramfs, moves every mount into the root disk, and makes that disk the root.
func switchRoot() error {
	for _, path := range []string{"/agent", "/init", "/modules"} {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("free initramfs: %w", err)
		}
	}
	for _, target := range []string{"/proc", "/sys", "/dev", "/run"} {
		inside := newRoot + target
		if err := os.MkdirAll(inside, 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
		if err := syscall.Mount(target, inside, "", syscall.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", target, err)
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return fmt.Errorf("enter root disk: %w", err)
	}
	if err := syscall.Mount(".", "/", "", syscall.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := syscall.Chroot("."); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return nil
}
