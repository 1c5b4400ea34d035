package linux

import (
	"errors"
	"os"
	"syscall"
)

// ReadSmallFile reads a regular file of at most limit bytes and never blocks.
func ReadSmallFile(path string, limit int) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if info.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	text := make([]byte, 0, min(int(info.Size), limit)+512)
	for {
		if len(text) > limit {
			return nil, &os.PathError{Op: "read", Path: path, Err: syscall.EFBIG}
		}
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		count, err := syscall.Read(fd, text[len(text):cap(text)])
		if err != nil {
			if err == syscall.EINTR {
				continue
			}
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if count <= 0 {
			return text, nil
		}
		text = text[:len(text)+count]
	}
}

// WriteSmallFile replaces the content of a small file. It writes in place: the
// file may be a mount point, and existing bytes can be overwritten even on a full
// disk. It writes nothing when the file has that content already.
func WriteSmallFile(path string, content []byte) error {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_NONBLOCK|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0o644)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if info.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return &os.PathError{Op: "write", Path: path, Err: errors.New("not a regular file")}
	}
	if info.Size == int64(len(content)) {
		existing := make([]byte, len(content))
		if count, err := syscall.Pread(fd, existing, 0); err == nil && count == len(content) && string(existing) == string(content) {
			return nil
		}
	}
	if count, err := syscall.Pwrite(fd, content, 0); err != nil || count != len(content) {
		return &os.PathError{Op: "write", Path: path, Err: errors.Join(err, errShort(count, len(content)))}
	}
	if info.Size > int64(len(content)) {
		if err := syscall.Ftruncate(fd, int64(len(content))); err != nil {
			return &os.PathError{Op: "truncate", Path: path, Err: err}
		}
	}
	return nil
}

func errShort(count, wanted int) error {
	if count == wanted || count <= 0 {
		return nil
	}
	return syscall.ENOSPC
}
