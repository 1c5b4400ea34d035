package session

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// ioctls of terminals: see ioctl_tty(2).
const (
	ioctlSetWindowSize  = 0x5414     // TIOCSWINSZ
	ioctlTerminalNumber = 0x80045430 // TIOCGPTN
	ioctlLockTerminal   = 0x40045431 // TIOCSPTLCK
)

const maxWindow = 1000

// WindowSize is the size of a terminal in characters.
type WindowSize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// Check refuses sizes that no terminal has.
func (w WindowSize) Check() error {
	if w.Cols < 1 || w.Cols > maxWindow || w.Rows < 1 || w.Rows > maxWindow {
		return wire.Invalid("cols and rows must be 1 to %d", maxWindow)
	}
	return nil
}

// openTerminal makes a pseudo-terminal for a user: the agent's end and the
// command's end.
func openTerminal(size WindowSize, user *account.Account) (master, slave *os.File, err error) {
	fd, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	var locked, number int32
	if err := linux.Ioctl(uintptr(fd), ioctlLockTerminal, unsafe.Pointer(&locked)); err != nil {
		return nil, nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	if err := linux.Ioctl(uintptr(fd), ioctlTerminalNumber, unsafe.Pointer(&number)); err != nil {
		return nil, nil, fmt.Errorf("number of the terminal: %w", err)
	}
	if err := setSize(uintptr(fd), size); err != nil {
		return nil, nil, err
	}
	path := "/dev/pts/" + strconv.Itoa(int(number))
	slaveFD, err := syscall.Open(path, syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	slave = os.NewFile(uintptr(slaveFD), path)
	if err := slave.Chown(int(user.UID), -1); err != nil {
		slave.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

func setSize(fd uintptr, size WindowSize) error {
	// struct winsize: rows, columns, and a size in pixels, which is not used.
	window := [4]uint16{uint16(size.Rows), uint16(size.Cols)}
	if err := linux.Ioctl(fd, ioctlSetWindowSize, unsafe.Pointer(&window)); err != nil {
		return fmt.Errorf("set the size of the terminal: %w", err)
	}
	return nil
}

// Resize changes the size of a session's terminal; its processes get SIGWINCH.
func (s *Session) Resize(size WindowSize) error {
	if s.terminal == nil {
		return wire.Refuse(http.StatusConflict, "not_terminal", "the command %s has no terminal", s.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return errSessionEnded(s.ID)
	}
	raw, err := s.terminal.SyscallConn()
	if err != nil {
		return errSessionEnded(s.ID)
	}
	var failure error
	if err := raw.Control(func(fd uintptr) { failure = setSize(fd, size) }); err != nil {
		return errSessionEnded(s.ID)
	}
	return failure
}
