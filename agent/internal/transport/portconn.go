package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	hangUpCheckBytes = 64 << 10
	returnTimeout    = 100 * time.Millisecond
	arrivalTimeout   = time.Second
	arrivalPoll      = time.Millisecond
)

// portConn is one host connection on the port.
type portConn struct {
	listener  *portListener
	file      *os.File
	buffer    []byte // read from the port, not yet consumed
	chunk     []byte // what buffer points into after the first bytes
	frames    frameTracker
	unchecked int  // payload bytes read since the last check for the host
	arrived   bool // the port has reported that the host is there
	writes    sync.Mutex
	hungUp    atomic.Bool // the host has hung up, even if it has come back
	over      atomic.Bool // nothing may be written any more
	torn      bool        // guarded by writes: the last bytes written are part of a frame
	closing   sync.Once
}

// Read returns io.EOF when the host has hung up, and also when it has come back so
// fast that only its new preface shows it.
func (c *portConn) Read(into []byte) (int, error) {
	if c.over.Load() {
		return 0, io.EOF
	}
	if len(c.buffer) == 0 {
		if len(into) >= portReadSize && c.frames.inPayload() {
			if c.unchecked >= hangUpCheckBytes && c.isGone() {
				// The rest of this frame will never come; closing the port
				// discards what follows.
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

// isGone asks the port whether the host has hung up. Reading shows that only after
// everything that the host had sent.
//
// The host's bytes and the event that it has connected take two ways through the
// guest's kernel, and the bytes may come first: until that event has come, the
// host has not hung up.
func (c *portConn) isGone() bool {
	c.unchecked = 0
	if c.arrived {
		return c.reportsHangUp()
	}
	for end := time.Now().Add(arrivalTimeout); ; time.Sleep(arrivalPoll) {
		if c.arrived = !c.reportsHangUp(); c.arrived {
			return false
		}
		if time.Now().After(end) {
			return true
		}
	}
}

func (c *portConn) reportsHangUp() bool {
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
	for errors.Is(err, io.EOF) && !c.arrived && !c.isGone() {
		count, err = c.file.Read(into)
	}
	if errors.Is(err, io.EOF) {
		c.hungUp.Store(true)
	} else if err == nil && !c.arrived {
		c.arrived = !c.reportsHangUp()
	}
	return max(count, 0), err
}

func (c *portConn) Write(data []byte) (int, error) {
	c.writes.Lock()
	defer c.writes.Unlock()
	if c.over.Load() {
		return 0, net.ErrClosed
	}
	count, err := c.file.Write(data)
	c.torn = c.torn || count > 0 && count < len(data)
	return count, err
}

// Close ends the use of the port and returns once a new connection can begin.
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

// nextBegun reports whether the host has hung up, come back, and sent the
// beginning of a new connection, which is in buffer now. Closing the port would
// lose it. But if half a frame was written, it would come before the new answers;
// then the port must be closed.
func (c *portConn) nextBegun() bool {
	if !c.hungUp.Load() || !c.stopWriting() {
		return false
	}
	if len(c.buffer) > 0 {
		return true
	}
	// After a quiesce the host waits until the port is closed. A host that was cut
	// off may connect again at once.
	timeout := returnTimeout
	if c.listener.quiesced() {
		timeout = 0
	}
	if err := c.file.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return false
	}
	first, err := awaitBytes(c.file)
	if err == nil {
		err = c.file.SetReadDeadline(time.Time{})
	}
	c.buffer = first
	return err == nil
}

// stopWriting ends a write that waits for a host that has hung up, and reports
// whether everything written so far ends with a complete frame.
func (c *portConn) stopWriting() bool {
	if err := c.file.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		return false
	}
	c.writes.Lock()
	defer c.writes.Unlock()
	return c.file.SetWriteDeadline(time.Time{}) == nil && !c.torn
}

func (c *portConn) LocalAddr() net.Addr                { return portAddr{} }
func (c *portConn) RemoteAddr() net.Addr               { return portAddr{} }
func (c *portConn) SetDeadline(t time.Time) error      { return c.file.SetDeadline(t) }
func (c *portConn) SetReadDeadline(t time.Time) error  { return c.file.SetReadDeadline(t) }
func (c *portConn) SetWriteDeadline(t time.Time) error { return c.file.SetWriteDeadline(t) }
