// Package session runs commands: their start, input, output and end. A session
// outlives every connection.
package session

import (
	"log"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/transcript"
)

// lastOutputTimeout is how long, after a command has exited, its result waits for
// output of processes that still have its streams open.
const lastOutputTimeout = 100 * time.Millisecond

// Session is one command: its processes, its output and its result. It outlives
// the connection that started it.
type Session struct {
	ID         string
	Transcript *transcript.Transcript // what it has printed

	kind     string
	unlisted bool
	argv     []string
	started  time.Time
	group    *cgroup.Group
	pipes    []*outputPipe
	input    *input   // nil without input
	terminal *os.File // nil without one
	timer    *time.Timer
	done     chan struct{} // closed when the result is final

	logBuffer *logs.Buffer
	command   *logs.Command  // nil where it is kept out of the logs
	lines     [2]*logs.Lines // of its streams; nil with a terminal, whose output has no lines, and without logs
	alone     time.Duration  // how long it may run after its last reader has left; 0 means for ever

	mu       sync.Mutex
	pid      int
	exited   bool // the main process is reaped: its pid may be reused
	finished bool
	status   syscall.WaitStatus
	timedOut bool
	duration time.Duration

	lonely *time.Timer

	background bool         // does not keep the sandbox awake
	turns      *turns       // of an agent; nil for others
	lastBytes  atomic.Int64 // when bytes last went in or out, since processStart

	retired time.Time // guarded by the table
}

// collect adds output of the command. Each stream calls it in order.
func (s *Session) collect(kind transcript.Stream, data []byte) {
	if lines := s.lines[kind-1]; lines != nil {
		lines.Write(data)
	}
	if s.turns != nil && kind == transcript.Stdout {
		s.turns.output(data)
	}
	s.traffic()
	s.Transcript.Add(kind, data)
}

// watch waits for the end of the started command. pidfd may be -1.
func (s *Session) watch(pidfd int, onEnd func(*Session)) {
	for _, pipe := range s.pipes {
		go pipe.collect()
	}
	go func() {
		linux.AwaitExit(s.pid, pidfd)
		s.reap()
		s.finish()
		close(s.done)
		onEnd(s)
	}()
}

// limit kills the command and all its processes after timeout. It must be called
// before watch, which stops the timer.
func (s *Session) limit(timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(timeout, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.exited {
			return
		}
		s.timedOut = true
		if err := s.group.Kill(s.pid); err != nil {
			log.Printf("exec %s: cannot kill after its timeout: %v", s.ID, err)
		}
	})
}

// reap takes the exit status. From then on the pid may belong to another process,
// so it holds the lock that signals take.
func (s *Session) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		_, err := syscall.Wait4(s.pid, &s.status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			log.Printf("exec %s: exit status lost: %v", s.ID, err)
		}
		break
	}
	s.exited = true
	s.duration = time.Since(s.started)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// finish completes the output: everything that was written before the exit, and
// what remaining processes write shortly after it.
func (s *Session) finish() {
	for _, pipe := range s.pipes {
		pipe.drain()
	}
	timeout := time.NewTimer(lastOutputTimeout)
	defer timeout.Stop()
wait:
	for _, pipe := range s.pipes {
		select {
		case <-pipe.ended:
		case <-timeout.C:
			break wait
		}
	}
	if s.terminal != nil {
		// Hangs up the terminal of processes that the command has left behind.
		s.terminal.Close()
	}
	if s.input != nil {
		s.input.abandon()
	}
	s.mu.Lock()
	s.finished = true
	s.mu.Unlock()
	s.Transcript.Finish()
	s.logEnd()
}

// logEnd records how the command ended.
func (s *Session) logEnd() {
	for _, lines := range s.lines {
		if lines != nil {
			lines.End()
		}
	}
	if s.command != nil {
		s.logBuffer.Ended(s.command, s.Snapshot().ExitCode)
	}
}

// Done is closed when the session's result is final.
func (s *Session) Done() <-chan struct{} { return s.done }

// Signal sends a signal to the command's process group. SIGKILL ends everything
// that the command has started.
func (s *Session) Signal(number syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return errSessionEnded(s.ID)
	}
	if number == syscall.SIGKILL {
		return s.group.Kill(s.pid)
	}
	return os.NewSyscallError("kill", syscall.Kill(-s.pid, number))
}
