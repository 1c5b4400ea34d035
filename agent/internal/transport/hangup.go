package transport

import (
	"syscall"
	"unsafe"
)

// pollHangUp reports whether the other side of a descriptor has hung up.
func pollHangUp(fd uintptr) bool {
	entry := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd)}
	var now syscall.Timespec
	count, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&entry)), 1,
		uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	const hangUp = 0x10 // POLLHUP
	return errno == 0 && count == 1 && entry.revents&hangUp != 0
}
