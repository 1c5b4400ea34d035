// Package transport accepts the host's connections: on the machine's virtio-serial
// port, or on a socket for tests.
package transport

import (
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// portListener turns a virtio-serial port into a net.Listener that yields one
// connection at a time: a connection starts with the host's first byte and
// ends when the host hangs up. The port is then closed and opened again, which
// the host can see.
type portListener struct {
	name     string
	quiesced func() bool
	file     *os.File
	pending  []byte        // first bytes of a connection that followed at once
	ended    chan struct{} // closed when the current connection no longer uses the port
}

// ListenPort serves the virtio-serial port of that name. quiesced reports whether
// the host has announced that it will hang up.
func ListenPort(name string, quiesced func() bool) net.Listener {
	return newPortListener(name, quiesced)
}

func newPortListener(name string, quiesced func() bool) *portListener {
	ended := make(chan struct{})
	close(ended)
	return &portListener{name: name, quiesced: quiesced, ended: ended}
}

// Accept waits until the previous connection has ended and the host has sent the
// first bytes of a new one.
func (l *portListener) Accept() (net.Conn, error) {
	<-l.ended
	for {
		if l.file == nil {
			l.file = openPort(l.name)
		}
		first := l.pending
		l.pending = nil
		if first == nil {
			var err error
			if first, err = awaitBytes(l.file); err != nil {
				log.Printf("port %s: %v; opening it again", l.name, err)
				l.file.Close()
				l.file = nil
				time.Sleep(portRetryFast)
				continue
			}
		}
		l.ended = make(chan struct{})
		return &portConn{listener: l, file: l.file, buffer: first}, nil
	}
}

// Close is part of net.Listener; the agent serves its port until it ends.
func (l *portListener) Close() error   { return nil }
func (l *portListener) Addr() net.Addr { return portAddr{} }

type portAddr struct{}

func (portAddr) Network() string { return "virtio" }
func (portAddr) String() string  { return "host" }

const (
	portRetryFast   = 20 * time.Millisecond
	portRetrySlow   = time.Second
	portFastRetries = 500 // 10 s of fast retries
	portReadSize    = 4096
)

// openPort waits for the named port to exist and opens it without blocking.
func openPort(name string) *os.File {
	for try := 0; ; try++ {
		path, err := findPort("/", name)
		if err == nil {
			var fd int
			fd, err = syscall.Open(path, syscall.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC|syscall.O_NOCTTY, 0)
			if err == nil {
				return os.NewFile(uintptr(fd), path)
			}
		}
		if try < portFastRetries {
			time.Sleep(portRetryFast)
			continue
		}
		if try == portFastRetries {
			log.Printf("port %s cannot be opened (%v); still trying", name, err)
		}
		time.Sleep(portRetrySlow)
	}
}

// findPort returns the device of the named port, through udev's link or, where
// there is no udev, through sysfs.
func findPort(root, name string) (string, error) {
	link := filepath.Join(root, "dev/virtio-ports", name)
	if _, err := os.Stat(link); err == nil {
		return link, nil
	}
	class := filepath.Join(root, "sys/class/virtio-ports")
	entries, err := os.ReadDir(class)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(class, entry.Name(), "name"))
		if err == nil && strings.TrimSpace(string(text)) == name {
			return filepath.Join(root, "dev", entry.Name()), nil
		}
	}
	return "", syscall.ENOENT
}

// awaitBytes waits until the port has data. While no host is connected a read
// returns 0 bytes. The kernel wakes the poller when that changes, so waiting costs
// nothing.
func awaitBytes(file *os.File) ([]byte, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, portReadSize)
	var count int
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		for {
			count, readErr = syscall.Read(int(fd), buffer)
			switch {
			case readErr == syscall.EINTR:
				continue
			case readErr == syscall.EAGAIN:
				readErr = nil
				return false
			case readErr != nil:
				return true
			}
			return count > 0
		}
	})
	if err == nil {
		err = readErr
	}
	return buffer[:max(count, 0)], err
}
