package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

// Not in package syscall; the number is amd64's.
const sysFinitModule = 313

// loadModules inserts every module of a directory in the order of their names. The build names them so that each comes
// after the modules that it needs.
func loadModules(directory string) error {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list modules: %w", err)
	}
	for _, entry := range entries {
		if err := loadModule(filepath.Join(directory, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open module: %w", err)
	}
	defer file.Close()
	var noParameters [1]byte
	_, _, errno := syscall.Syscall(sysFinitModule, file.Fd(), uintptr(unsafe.Pointer(&noParameters[0])), 0)
	if errno != 0 && errno != syscall.EEXIST {
		return fmt.Errorf("load module %s: %w", path, errno)
	}
	return nil
}
