package main

import (
	"errors"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// portListener turns a virtio-serial port into a net.Listener that yields one
// connection at a time: a connection starts with the host's first byte and
// ends when the host hangs up. The port is then closed and opened again, which
// the host can see.
type portListener struct {
	name    string
	file    *os.File
	pending []byte        // first bytes of a connection that followed without a gap
	ended   chan struct{} // closed when the current connection has let go of the port
}

func newPortListener(name string) *portListener {
	ended := make(chan struct{})
	close(ended)
	return &portListener{name: name, ended: ended}
}

// Accept waits until the previous connection is gone and the host has sent
// the first bytes of a new one.
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

// Close is part of net.Listener; the agent serves its port until it dies.
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

	hangUpCheckBytes = 64 << 10
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

// awaitBytes parks until the port has data. While no host is connected a read
// returns 0 bytes; the kernel wakes the poller when that changes, so waiting
// costs nothing.
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

// portConn is one host connection on the port.
type portConn struct {
	listener  *portListener
	file      *os.File
	buffer    []byte // read from the port, not yet consumed
	chunk     []byte // what buffer points into after the first bytes
	frames    frameTracker
	unchecked int // payload bytes read since the host was last known to be there
	writes    sync.Mutex
	hungUp    atomic.Bool // the host has gone, whether or not it has come back
	over      atomic.Bool // nothing may be written any more
	closing   sync.Once
}

// Read returns io.EOF when the host has hung up, and also when it has hung up
// and come back so fast that only its new preface tells.
func (c *portConn) Read(into []byte) (int, error) {
	if c.over.Load() {
		return 0, io.EOF
	}
	if len(c.buffer) == 0 {
		if len(into) >= portReadSize && c.frames.inPayload() {
			if c.unchecked >= hangUpCheckBytes && c.isHungUp() {
				// The rest of this frame will never come; what follows in the
				// port is discarded by closing it.
				c.over.Store(true)
				return 0, io.EOF
			}
			count, err := c.readPort(into[:min(len(into), c.frames.payloadLeft())])
			c.frames.skip(count)
			c.unchecked += count
			return count, err
		}
		if c.chunk == nil {
			c.chunk = make([]byte, portReadSize)
		}
		count, err := c.readPort(c.chunk)
		if err != nil {
			return 0, err
		}
		c.buffer = c.chunk[:count]
	}
	usable, newPreface := c.frames.scan(c.buffer[:min(len(into), len(c.buffer))])
	count := copy(into, c.buffer[:usable])
	c.buffer = c.buffer[count:]
	if newPreface && count == 0 {
		c.hungUp.Store(true)
		c.over.Store(true)
		return 0, io.EOF
	}
	return count, nil
}

// isHungUp asks the port whether the host is gone, which reading tells only
// when all that the host had sent is read.
func (c *portConn) isHungUp() bool {
	c.unchecked = 0
	raw, err := c.file.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) { gone = pollHangUp(fd) })
	return gone || err != nil
}

func (c *portConn) readPort(into []byte) (int, error) {
	count, err := c.file.Read(into)
	if errors.Is(err, io.EOF) {
		c.hungUp.Store(true)
	}
	return max(count, 0), err
}

func (c *portConn) Write(data []byte) (int, error) {
	c.writes.Lock()
	defer c.writes.Unlock()
	if c.over.Load() {
		return 0, net.ErrClosed
	}
	return c.file.Write(data)
}

// Close lets go of the port and returns once a new connection can begin.
func (c *portConn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		c.over.Store(true)
		if c.nextBegun() {
			c.listener.pending = c.buffer
			err = nil
		} else {
			c.listener.file = nil
			err = c.file.Close()
		}
		close(c.listener.ended)
	})
	return err
}

// nextBegun tells whether the host, having hung up, has already sent the
// beginning of a new connection, now in buffer. Closing the port would lose
// it. A write caught in the middle, though, would put half a frame in front of
// the answers; then only closing gives a clean start.
func (c *portConn) nextBegun() bool {
	if !c.hungUp.Load() || !c.writes.TryLock() {
		return false
	}
	c.writes.Unlock()
	if len(c.buffer) > 0 {
		return true
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return false
	}
	chunk := make([]byte, portReadSize)
	count := 0
	err = raw.Read(func(fd uintptr) bool {
		count, _ = syscall.Read(int(fd), chunk) // an error here is seen again by the next reader
		return true
	})
	c.buffer = chunk[:max(count, 0)]
	return err == nil && count > 0
}

func (c *portConn) LocalAddr() net.Addr                { return portAddr{} }
func (c *portConn) RemoteAddr() net.Addr               { return portAddr{} }
func (c *portConn) SetDeadline(t time.Time) error      { return c.file.SetDeadline(t) }
func (c *portConn) SetReadDeadline(t time.Time) error  { return c.file.SetReadDeadline(t) }
func (c *portConn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }
