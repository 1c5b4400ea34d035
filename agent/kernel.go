package main

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// The syscall package has no names for these.
const (
	clockRealtime       = 0
	clockBoottime       = 7
	ioctlAddEntropy     = 0x40085203 // RNDADDENTROPY
	ioctlReseed         = 0x5207     // RNDRESEEDCRNG
	ioctlBytesAvailable = 0x541B     // FIONREAD
)

var sysSyncfs = map[string]uintptr{"amd64": 306, "arm64": 267}[runtime.GOARCH]

func ioctl(fd uintptr, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}

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
	if err := ioctl(uintptr(fd), ioctlAddEntropy, unsafe.Pointer(&pool[0])); err != nil {
		return err
	}
	return ioctl(uintptr(fd), ioctlReseed, nil)
}

func (ownMachine) setHostname(name string) error { return syscall.Sethostname([]byte(name)) }

// uptime is the time since the kernel started, time asleep included.
func uptime() time.Duration {
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return 0
	}
	return time.Duration(now.Nano())
}

// memoryTotal is the memory the kernel manages, in bytes.
func memoryTotal() uint64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}

func readBootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(text) < 36 {
		return ""
	}
	return string(text[:36])
}

// pipeBytes is how many bytes wait in a pipe.
func pipeBytes(fd int) int {
	var count int32
	if err := ioctl(uintptr(fd), ioctlBytesAvailable, unsafe.Pointer(&count)); err != nil {
		return 0
	}
	return int(count)
}

// pollHangUp tells whether the other side of a descriptor is gone.
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

func isErrno(err error, wanted ...syscall.Errno) bool {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	for _, candidate := range wanted {
		if errno == candidate {
			return true
		}
	}
	return false
}
