package identity

import (
	"encoding/binary"
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

// Machine is the part of an identity that is set through the kernel.
type Machine interface {
	SetClock(unixNs int64) error
	AddEntropy(bytes []byte) error
	SetHostname(name string) error
	RenewBootID() error
}

// OwnMachine is the machine that this process runs in.
type OwnMachine struct{}

// SetClock sets the time, in nanoseconds since 1970.
func (OwnMachine) SetClock(unixNs int64) error {
	now := syscall.NsecToTimespec(unixNs)
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_SETTIME, clockRealtime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// AddEntropy adds bytes to the kernel's entropy pool and makes the kernel use them
// at once.
func (OwnMachine) AddEntropy(bytes []byte) error {
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

// SetHostname gives the machine its name.
func (OwnMachine) SetHostname(name string) error { return syscall.Sethostname([]byte(name)) }
