package main

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

const (
	maxPath  = 4096
	maxLinks = 40
)

func errPath(format string, values ...any) error {
	return refuse(http.StatusBadRequest, "invalid_path", format, values...)
}

// checkPath refuses what is no absolute path of this kernel.
func checkPath(path string) error {
	switch {
	case path == "":
		return errPath("the path is missing")
	case len(path) > maxPath:
		return errPath("the path has %d bytes, more than %d", len(path), maxPath)
	case path[0] != '/':
		return errPath("the path must be absolute: %.200q", path)
	case strings.Contains(path, "\x00"):
		return errPath("the path contains NUL")
	}
	return nil
}

// pathQuery returns the query of a files call and its checked path.
func pathQuery(r *http.Request) (string, url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", nil, errPath("bad query: %v", err)
	}
	path := query.Get("path")
	return path, query, checkPath(path)
}

// errFile turns an error of the file system into the protocol's.
func errFile(err error, path string) error {
	var known *refusal
	if errors.As(err, &known) {
		return err
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return refuse(http.StatusInternalServerError, "io_error", "%s: %v", path, err)
	}
	switch errno {
	case syscall.ENOENT:
		return refuse(http.StatusNotFound, "not_found", "no such file or directory: %s", path)
	case syscall.ENOTDIR:
		return refuse(http.StatusConflict, "not_directory", "not a directory: %s", path)
	case syscall.EISDIR:
		return errIsDirectory(path)
	case syscall.ENXIO, syscall.EAGAIN, syscall.ENODEV:
		return errNotRegular(path)
	case syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ETXTBSY:
		return refuse(http.StatusForbidden, "not_permitted", "%s: %v", path, errno)
	case syscall.EBUSY:
		return refuse(http.StatusForbidden, "not_permitted", "%s is in use, for example as a mount point", path)
	case syscall.ELOOP:
		return errPath("too many symbolic links: %s", path)
	case syscall.ENAMETOOLONG:
		return errPath("a name in the path is too long: %s", path)
	case syscall.ENOSPC, syscall.EDQUOT:
		return refuse(http.StatusInsufficientStorage, "no_space", "no space left for %s", path)
	case syscall.EFBIG:
		return refuse(http.StatusRequestEntityTooLarge, "too_large", "too large for its file system: %s", path)
	}
	return refuse(http.StatusInternalServerError, "io_error", "%s: %v", path, errno)
}

func errIsDirectory(path string) error {
	return refuse(http.StatusConflict, "is_directory", "is a directory: %s", path)
}

func errNotRegular(path string) error {
	return refuse(http.StatusConflict, "not_regular", "not a regular file: %s", path)
}

// followLinks returns what the last component of path finally names, and its
// state, nil where nothing is there yet. The text of links is used as it is,
// so that the kernel decides what ".." means.
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
// directories like /tmp the kernel lets nobody, root included, follow another
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
