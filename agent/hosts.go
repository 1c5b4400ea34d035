package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

const (
	ownHostAddress = "127.0.1.1"
	maxHostsFile   = 256 << 10
)

// nameInHosts points the 127.0.1.1 line of a hosts file at name, so that the
// machine resolves itself whatever the resolver does. Other lines stay.
func nameInHosts(path, name string) error {
	text, err := readSmallFile(path, maxHostsFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return replaceContent(path, []byte(hostsWith(string(text), name)))
}

func hostsWith(text, name string) string {
	entry := ownHostAddress + "\t" + name
	var lines []string
	placed := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == ownHostAddress {
			if placed {
				continue
			}
			line = entry
			placed = true
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = append(lines, "127.0.0.1\tlocalhost")
	}
	if !placed {
		lines = append(lines, entry)
	}
	return strings.Join(lines, "\n") + "\n"
}

// readSmallFile reads a regular file of at most limit bytes and never blocks.
func readSmallFile(path string, limit int) ([]byte, error) {
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
