package linux

import (
	"errors"
	"syscall"
)

// IsErrno reports whether the first errno in the chain of err is one of those
// wanted.
func IsErrno(err error, wanted ...syscall.Errno) bool {
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
