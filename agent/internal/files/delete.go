package files

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"unsafe"

	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// keptRoots are never deleted, whichever path names them.
var keptRoots = []string{"/", "/proc", "/sys", "/dev", "/run"}

// Delete removes a file or a whole tree. File systems mounted in it stay.
func Delete(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	if err := deleteTree(r.Context(), path); err != nil && !linux.IsErrno(err, syscall.ENOENT) {
		return errFile(err, path)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func deleteTree(ctx context.Context, path string) error {
	path = filepath.Clean(path)
	if slices.Contains(keptRoots, path) {
		return errKept(path)
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	if kept := filepath.Join(parent, name); slices.Contains(keptRoots, kept) {
		return errKept(kept)
	}
	directory, err := openDirectory(atCurrentDirectory, parent)
	if err != nil {
		return err
	}
	defer directory.Close()
	remover := &remover{ctx: ctx, top: directory}
	if remover.device, err = deviceOf(directory); err != nil {
		return err
	}
	if err := remover.remove(directory, name, 0); err != nil {
		return err
	}
	for len(remover.hoisted) > 0 {
		last := len(remover.hoisted) - 1
		next := remover.hoisted[last]
		remover.hoisted = remover.hoisted[:last]
		if err := remover.remove(directory, next, 0); err != nil {
			return err
		}
	}
	return nil
}

func errKept(path string) error {
	return wire.Refuse(http.StatusForbidden, "not_permitted", "%s is part of the machine and is not deleted", path)
}

const (
	maxOpenDepth = 64
	deleteBatch  = 256
	atRemoveDir  = 0x200 // AT_REMOVEDIR
)

// remover deletes a tree by descriptors, so that nobody can direct it to another
// tree by renaming. Directories deeper than maxOpenDepth are first moved to the
// top, so that a tree of any depth needs few descriptors.
type remover struct {
	ctx     context.Context
	top     *os.File
	device  uint64
	hoisted []string
}

func (r *remover) remove(parent *os.File, name string, depth int) error {
	err := unlinkAt(parent, name, 0)
	if err == nil || err == syscall.ENOENT {
		return nil
	}
	if err != syscall.EISDIR && err != syscall.EPERM {
		return err
	}
	if depth == maxOpenDepth {
		return r.hoist(parent, name)
	}
	directory, openErr := openDirectory(int(parent.Fd()), name)
	if openErr != nil {
		if linux.IsErrno(openErr, syscall.ENOTDIR, syscall.ELOOP) {
			return err // a file that may not be deleted
		}
		return openErr
	}
	defer directory.Close()
	if device, err := deviceOf(directory); err != nil || device != r.device {
		return errors.Join(err, syscall.EBUSY)
	}
	if err := r.empty(directory, depth); err != nil {
		return err
	}
	if err := unlinkAt(parent, name, atRemoveDir); err != nil && err != syscall.ENOENT {
		return err
	}
	return nil
}

// empty removes all entries of a directory. It reads from the start after each
// batch, since removing entries may invalidate the position of a reader.
func (r *remover) empty(directory *os.File, depth int) error {
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		names, err := directory.Readdirnames(deleteBatch)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(names) == 0 {
			return nil
		}
		for _, name := range names {
			if err := r.remove(directory, name, depth+1); err != nil {
				return err
			}
		}
		if _, err := directory.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

func (r *remover) hoist(parent *os.File, name string) error {
	moved := ".deleted-" + randomDigits()
	if err := renameAt(parent, name, r.top, moved); err != nil {
		return err
	}
	r.hoisted = append(r.hoisted, moved)
	return nil
}

func openDirectory(at int, path string) (*os.File, error) {
	fd, err := syscall.Openat(at, path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func deviceOf(file *os.File) (uint64, error) {
	var info syscall.Stat_t
	err := syscall.Fstat(int(file.Fd()), &info)
	return uint64(info.Dev), err
}

func unlinkAt(directory *os.File, name string, flags uintptr) error {
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, _, errno := syscall.Syscall(syscall.SYS_UNLINKAT, directory.Fd(), uintptr(unsafe.Pointer(text)), flags)
	if errno != 0 {
		return errno
	}
	return nil
}

func renameAt(from *os.File, name string, to *os.File, newName string) error {
	old, oldErr := syscall.BytePtrFromString(name)
	fresh, freshErr := syscall.BytePtrFromString(newName)
	if err := errors.Join(oldErr, freshErr); err != nil {
		return err
	}
	_, _, errno := syscall.Syscall6(syscall.SYS_RENAMEAT, from.Fd(), uintptr(unsafe.Pointer(old)),
		to.Fd(), uintptr(unsafe.Pointer(fresh)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
