// Package files has the calls about files: read, write, list and delete.
package files

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"opencomputer.dev/agent/internal/wire"
)

const (
	maxLinks = 40
)

// pathQuery returns the query of a files call and its checked path.
func pathQuery(r *http.Request) (string, url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", nil, wire.InvalidPath("bad query: %v", err)
	}
	path := query.Get("path")
	return path, query, wire.CheckPath(path)
}

// errFile turns an error of the file system into one of the protocol.
func errFile(err error, path string) error {
	var known *wire.Refusal
	if errors.As(err, &known) {
		return err
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return wire.Refuse(http.StatusInternalServerError, "io_error", "%s: %v", path, err)
	}
	switch errno {
	case syscall.ENOENT:
		return wire.Refuse(http.StatusNotFound, "not_found", "no such file or directory: %s", path)
	case syscall.ENOTDIR:
		return wire.Refuse(http.StatusConflict, "not_directory", "not a directory: %s", path)
	case syscall.EISDIR:
		return errIsDirectory(path)
	case syscall.ENXIO, syscall.EAGAIN, syscall.ENODEV:
		return errNotRegular(path)
	case syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ETXTBSY:
		return wire.Refuse(http.StatusForbidden, "not_permitted", "%s: %v", path, errno)
	case syscall.EBUSY:
		return wire.Refuse(http.StatusForbidden, "not_permitted", "%s is in use, for example as a mount point", path)
	case syscall.ELOOP:
		return wire.InvalidPath("too many symbolic links: %s", path)
	case syscall.ENAMETOOLONG:
		return wire.InvalidPath("a name in the path is too long: %s", path)
	case syscall.ENOSPC, syscall.EDQUOT:
		return wire.Refuse(http.StatusInsufficientStorage, "no_space", "no space left for %s", path)
	case syscall.EFBIG:
		return wire.Refuse(http.StatusRequestEntityTooLarge, "too_large", "too large for its file system: %s", path)
	}
	return wire.Refuse(http.StatusInternalServerError, "io_error", "%s: %v", path, errno)
}

func errIsDirectory(path string) error {
	return wire.Refuse(http.StatusConflict, "is_directory", "is a directory: %s", path)
}

func errNotRegular(path string) error {
	return wire.Refuse(http.StatusConflict, "not_regular", "not a regular file: %s", path)
}

// followLinks returns the path that the last component of path leads to, and its
// state, nil where nothing exists there. The text of links is used as it is, so
// that the kernel decides what ".." means.
func followLinks(path string) (string, os.FileInfo, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) {
			return path, nil, nil
		}
		if err != nil || info.Mode()&os.ModeSymlink == 0 {
			return path, info, err
		}
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil, err
		}
		if !strings.HasPrefix(target, "/") {
			target = parentOf(path) + "/" + target
		}
		path = target
	}
	return path, nil, syscall.ELOOP
}

// openable returns a path that can be opened where path itself cannot: in
// directories like /tmp the kernel does not let anybody, even root, follow another
// user's link.
func openable(path string) string {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrPermission) {
		return path
	}
	if target, _, err := followLinks(path); err == nil {
		return target
	}
	return path
}

// parentOf is the directory part of an absolute path, "." and ".." untouched.
func parentOf(path string) string {
	if slash := strings.LastIndexByte(path, '/'); slash > 0 {
		return path[:slash]
	}
	return "/"
}
