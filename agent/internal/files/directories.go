package files

import (
	"errors"
	"net/http"
	"os"
	"syscall"

	"opencomputer.dev/agent/internal/account"
)

// MakeDirectory creates a directory and its parents for user sandbox.
func MakeDirectory(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	if err := makeParents(path); err != nil {
		return errFile(err, path)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// makeParents creates path and the missing directories above it. Existing ones
// keep their owner and mode.
func makeParents(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		if info.IsDir() {
			return nil
		}
		return syscall.ENOTDIR
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// From the top down, so that a deep path needs no recursion.
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != '/' {
			continue
		}
		if err := makeOne(path[:end]); err != nil {
			return err
		}
	}
	return nil
}

func makeOne(path string) error {
	err := os.Mkdir(path, 0o755)
	if err == nil {
		return os.Lchown(path, account.SandboxID, account.SandboxID)
	}
	info, statErr := os.Stat(path)
	switch {
	case statErr == nil && info.IsDir():
		return nil
	case statErr == nil || errors.Is(err, os.ErrExist):
		return syscall.ENOTDIR // a file, or a link to nowhere
	}
	return err
}
