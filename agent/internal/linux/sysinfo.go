package linux

import (
	"syscall"
	"time"
	"unsafe"
)

const clockBoottime = 7

// Uptime is the time since the kernel started, including time asleep.
func Uptime() time.Duration {
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(now.Nano())
}

// MemoryTotal is the memory the kernel manages, in bytes.
func MemoryTotal() uint64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
