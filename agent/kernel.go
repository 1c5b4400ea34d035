package main

import (
	"encoding/binary"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"opencomputer.dev/agent/internal/linux"
)

// The syscall package has no names for these.
const (
	clockRealtime   = 0
	ioctlAddEntropy = 0x40085203 // RNDADDENTROPY
	ioctlReseed     = 0x5207     // RNDRESEEDCRNG
)

var sysSyncfs = map[string]uintptr{"amd64": 306, "arm64": 267}[runtime.GOARCH]

// machine is the part of the guest that an identity changes through the kernel.
type machine interface {
	setClock(unixNs int64) error
	addEntropy(bytes []byte) error
	setHostname(name string) error
}

// ownMachine is the machine this process runs in.
type ownMachine struct{}

func (ownMachine) setClock(unixNs int64) error {
	now := syscall.NsecToTimespec(unixNs)
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_SETTIME, clockRealtime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// addEntropy credits bytes to the kernel's pool and makes it use them at once.
func (ownMachine) addEntropy(bytes []byte) error {
	fd, err := syscall.Open("/dev/random", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	// struct rand_pool_info: entropy in bits, size in bytes, then the bytes.
	pool := make([]byte, 8, 8+len(bytes))
	binary.NativeEndian.PutUint32(pool[0:], uint32(len(bytes)*8))
	binary.NativeEndian.PutUint32(pool[4:], uint32(len(bytes)))
	pool = append(pool, bytes...)
	if err := linux.Ioctl(uintptr(fd), ioctlAddEntropy, unsafe.Pointer(&pool[0])); err != nil {
		return err
	}
	return linux.Ioctl(uintptr(fd), ioctlReseed, nil)
}

func (ownMachine) setHostname(name string) error { return syscall.Sethostname([]byte(name)) }

func readBootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(text) < 36 {
		return ""
	}
	return string(text[:36])
}
