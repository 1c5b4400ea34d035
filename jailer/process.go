package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	prCapabilityBoundDrop = 24
	prSetNoNewPrivileges  = 38
	rlimitCore            = 4
	capabilityVersion3    = 0x20080522
)

func prctl(option int, first, second uintptr) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, uintptr(option), first, second, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// closeOthers makes every descriptor above 2 close when the program starts, except those that it is to keep: the
// platform may have inherited others from the program that started it.
func closeOthers(keep []int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list the open descriptors: %w", err)
	}
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			return fmt.Errorf("a descriptor has the name %q", entry.Name())
		}
		if number > 2 && !slices.Contains(keep, number) {
			syscall.CloseOnExec(number)
		}
	}
	return nil
}

func setLimits(given options) error {
	limits := []struct {
		what     string
		resource int
		most     uint64
	}{
		{"the size of dumps", rlimitCore, 0},
		{"open files", syscall.RLIMIT_NOFILE, given.files},
		{"the size of files", syscall.RLIMIT_FSIZE, given.fileBytes},
	}
	for _, limit := range limits {
		if limit.most == 0 && limit.resource == syscall.RLIMIT_FSIZE {
			continue
		}
		var present syscall.Rlimit
		if err := syscall.Getrlimit(limit.resource, &present); err != nil {
			return fmt.Errorf("cannot read the limit of %s: %w", limit.what, err)
		}
		most := min(limit.most, present.Max)
		if err := syscall.Setrlimit(limit.resource, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("cannot limit %s: %w", limit.what, err)
		}
	}
	return nil
}

// become makes this thread an ordinary user without groups and capabilities, which can get none.
func become(uid int) error {
	for capability := uintptr(0); capability < 64; capability++ {
		err := prctl(prCapabilityBoundDrop, capability, 0)
		if err == syscall.EINVAL {
			break // The kernel has no more capabilities.
		}
		if err != nil {
			return fmt.Errorf("cannot give up capability %d: %w", capability, err)
		}
	}
	id := uintptr(uid)
	calls := []struct {
		what   string
		number uintptr
		values [3]uintptr
	}{
		{"groups", syscall.SYS_SETGROUPS, [3]uintptr{}},
		{"group", syscall.SYS_SETRESGID, [3]uintptr{id, id, id}},
		{"user", syscall.SYS_SETRESUID, [3]uintptr{id, id, id}},
	}
	for _, call := range calls {
		if _, _, errno := syscall.RawSyscall(call.number, call.values[0], call.values[1], call.values[2]); errno != 0 {
			return fmt.Errorf("cannot change the %s to %d: %w", call.what, uid, errno)
		}
	}
	// Inheritable capabilities survive the change of user.
	header := struct {
		version uint32
		pid     int32
	}{version: capabilityVersion3}
	var none [6]uint32
	_, _, errno := syscall.RawSyscall(
		syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	if errno != 0 {
		return fmt.Errorf("cannot give up capabilities: %w", errno)
	}
	return nil
}
