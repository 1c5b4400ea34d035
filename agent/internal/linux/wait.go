package linux

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

const (
	waitForExit = 4          // WEXITED
	waitNoHang  = 1          // WNOHANG
	waitNoReap  = 0x01000000 // WNOWAIT
	waitByAny   = 0          // P_ALL
	waitByPid   = 1          // P_PID
	waitByPidfd = 3          // P_PIDFD
)

// AwaitExit returns once the child has exited, without reaping it. With a pidfd,
// which is closed, the wait needs no thread.
func AwaitExit(pid, pidfd int) {
	if pidfd >= 0 && awaitPidfd(pidfd) == nil {
		return
	}
	for {
		if _, err := exitedChild(waitByPid, pid, 0); err != syscall.EINTR {
			return
		}
	}
}

func awaitPidfd(pidfd int) error {
	if err := syscall.SetNonblock(pidfd, true); err != nil {
		syscall.Close(pidfd)
		return err
	}
	file := os.NewFile(uintptr(pidfd), "pidfd")
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		exited, err := exitedChild(waitByPidfd, int(fd), waitNoHang)
		if err == syscall.EAGAIN || err == syscall.EINTR {
			err = nil
		}
		failure = err
		return exited || err != nil
	})
	return errors.Join(err, failure)
}

// exitedChild looks for a child that has exited, without reaping it.
func exitedChild(idKind, id int, options uintptr) (bool, error) {
	var info [128]byte // siginfo_t; its first word is 0 when nothing has exited
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, uintptr(idKind), uintptr(id),
		uintptr(unsafe.Pointer(&info)), waitForExit|waitNoReap|options, 0, 0)
	if errno != 0 {
		return false, errno
	}
	return info[0] != 0, nil
}

// HasChildren reports whether this process has any child left to wait for.
func HasChildren() bool {
	_, err := exitedChild(waitByAny, 0, waitNoHang)
	return err != syscall.ECHILD
}
