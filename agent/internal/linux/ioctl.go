// Package linux has the agent's system calls for which Go's standard library has
// no function.
package linux

import (
	"syscall"
	"unsafe"
)

// Ioctl calls ioctl(2).
func Ioctl(fd uintptr, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
