package session

import (
	"os"
	"sync"
	"syscall"
	"unsafe"

	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/transcript"
)

const (
	outputReadSize = 64 << 10
	// outputPipeSize is how many bytes a command may be ahead of the agent: the
	// more, the fewer switches between the two.
	outputPipeSize = 256 << 10
	setPipeSize    = 1031 // F_SETPIPE_SZ of fcntl(2)

	ioctlBytesAvailable = 0x541B // FIONREAD
)

var outputBuffers = sync.Pool{New: func() any { return new([outputReadSize]byte) }}

// outputPipe collects one output stream of a command until every process that has
// its other end open has ended.
type outputPipe struct {
	kind  transcript.Stream
	file  *os.File
	fd    int
	sink  func(kind transcript.Stream, data []byte)
	mu    sync.Mutex // held while reading, so that bytes stay in order
	over  bool
	ended chan struct{}
}

// newOutputPipe makes a pipe and returns it with the end the command writes to.
func newOutputPipe(kind transcript.Stream, sink func(transcript.Stream, []byte)) (*outputPipe, *os.File, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := syscall.SetNonblock(ends[0], true); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	// If the kernel refuses this, the pipe keeps its usual size.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(ends[0]), setPipeSize, outputPipeSize)
	pipe := &outputPipe{
		kind:  kind,
		file:  os.NewFile(uintptr(ends[0]), "output"),
		fd:    ends[0],
		sink:  sink,
		ended: make(chan struct{}),
	}
	return pipe, os.NewFile(uintptr(ends[1]), "output"), nil
}

// collect reads until the end of the stream.
func (p *outputPipe) collect() {
	defer close(p.ended)
	raw, err := p.file.SyscallConn()
	if err == nil {
		err = raw.Read(func(uintptr) bool {
			for {
				if count, more := p.readOnce(); !more {
					return true
				} else if count == 0 {
					return false
				}
			}
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.file.Close()
}

// readOnce reads what is there, at most one buffer. It returns 0 bytes when the
// pipe is empty, and more=false at the end of the stream.
func (p *outputPipe) readOnce() (count int, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return 0, false
	}
	buffer := outputBuffers.Get().(*[outputReadSize]byte)
	defer outputBuffers.Put(buffer)
	for {
		count, err := syscall.Read(p.fd, buffer[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, true
		case err != nil || count == 0:
			p.over = true
			return 0, false
		}
		p.sink(p.kind, buffer[:count])
		return count, true
	}
}

// drain collects what is in the pipe now. It does not wait, and ends even if a
// process keeps writing.
func (p *outputPipe) drain() {
	p.mu.Lock()
	waiting := 0
	if !p.over {
		waiting = pipeBytes(p.fd)
	}
	p.mu.Unlock()
	for waiting > 0 {
		count, more := p.readOnce()
		if count == 0 || !more {
			return
		}
		waiting -= count
	}
}

// pipeBytes returns how many bytes are in a pipe.
func pipeBytes(fd int) int {
	var count int32
	if err := linux.Ioctl(uintptr(fd), ioctlBytesAvailable, unsafe.Pointer(&count)); err != nil {
		return 0
	}
	return int(count)
}
