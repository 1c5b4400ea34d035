package main

import (
	"log"
	"os"
	"sync"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/transcript"
)

// lastOutputPatience is how long a result waits, after its command has exited,
// for processes that still hold the command's output to finish their words.
const lastOutputPatience = 100 * time.Millisecond

const exitCodeTimeout = -1

// session is one command: its processes, its output and its result. It
// outlives the connection that began it.
type session struct {
	id       string
	kind     string
	argv     []string
	started  time.Time
	group    *cgroup.Group
	pipes    []*outputPipe
	input    *input   // nil where nobody can write
	terminal *os.File // nil without one
	timer    *time.Timer
	done     chan struct{} // closed when the result is final

	transcript *transcript.Transcript
	book       *logs.Book
	command    *logs.Command
	lines      [2]*logs.Lines // of its streams; nil with a terminal, whose bytes are no lines
	alone      time.Duration  // how long it may run after its last reader has left; 0 is for ever

	mu       sync.Mutex
	pid      int
	exited   bool // the main process is reaped: its pid means nothing any more
	finished bool
	status   syscall.WaitStatus
	timedOut bool
	duration time.Duration

	lonely *time.Timer

	retired time.Time // guarded by the table
}

// collect takes output of the command. Each stream calls it in order.
func (s *session) collect(kind transcript.Stream, data []byte) {
	if lines := s.lines[kind-1]; lines != nil {
		lines.Write(data)
	}
	s.transcript.Add(kind, data)
}

// watch follows the started command to its end. pidfd may be -1.
func (s *session) watch(pidfd int, onEnd func(*session)) {
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

// limit kills the command and all its processes after timeout. It comes before
// watch, which stops the timer.
func (s *session) limit(timeout time.Duration) {
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
			log.Printf("exec %s: cannot kill after its timeout: %v", s.id, err)
		}
	})
}

// reap takes the exit status. From then on the pid may belong to another
// process, so it happens under the lock that signals take.
func (s *session) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		_, err := syscall.Wait4(s.pid, &s.status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			log.Printf("exec %s: exit status lost: %v", s.id, err)
		}
		break
	}
	s.exited = true
	s.duration = time.Since(s.started)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// finish completes the output: all that was written before the exit, and what
// the processes it leaves behind say within a moment.
func (s *session) finish() {
	for _, pipe := range s.pipes {
		pipe.drain()
	}
	patience := time.NewTimer(lastOutputPatience)
	defer patience.Stop()
wait:
	for _, pipe := range s.pipes {
		select {
		case <-pipe.ended:
		case <-patience.C:
			break wait
		}
	}
	if s.terminal != nil {
		// Hangs up on processes that the command has left behind.
		s.terminal.Close()
	}
	if s.input != nil {
		s.input.abandon()
	}
	s.mu.Lock()
	s.finished = true
	s.mu.Unlock()
	s.transcript.Finish()
	s.logEnd()
}

// logEnd writes down how the command ended.
func (s *session) logEnd() {
	for _, lines := range s.lines {
		if lines != nil {
			lines.End()
		}
	}
	s.book.Ended(s.command, s.snapshot(false).exitCode)
}

// signal sends a signal to the command's process group. The one that can't be
// refused ends whatever the command has started.
func (s *session) signal(number syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return errSessionEnded(s.id)
	}
	if number == syscall.SIGKILL {
		return s.group.Kill(s.pid)
	}
	return os.NewSyscallError("kill", syscall.Kill(-s.pid, number))
}

// joined stops the clock that runs while a session has no reader.
func (s *session) joined() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lonely != nil {
		s.lonely.Stop()
	}
}

// left lets a reader go. Without any, the command has only its time left.
func (s *session) left(r *transcript.Reader) {
	if s.transcript.Detach(r) > 0 || s.alone == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return
	}
	if s.lonely != nil {
		s.lonely.Stop()
	}
	s.lonely = time.AfterFunc(s.alone, s.endAlone)
}

// endAlone kills a command whose last reader has not come back.
func (s *session) endAlone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited || s.transcript.Attached() > 0 {
		return
	}
	if err := s.group.Kill(s.pid); err != nil {
		log.Printf("exec %s: cannot kill although nobody reads it any more: %v", s.id, err)
	}
}

// snapshot is the state of a session at one moment.
type snapshot struct {
	id        string
	kind      string
	argv      []string
	input     bool
	terminal  bool
	attached  int
	running   bool
	exitCode  int
	signal    int
	timedOut  bool
	truncated bool
	started   time.Time
	duration  time.Duration
	stdout    []byte
	stderr    []byte
}

func (s *session) snapshot(withOutput bool) snapshot {
	s.mu.Lock()
	shot := snapshot{
		id: s.id, kind: s.kind, argv: s.argv, started: s.started,
		input: s.input != nil, terminal: s.terminal != nil, attached: s.transcript.Attached(),
		running: !s.finished, timedOut: s.timedOut && s.finished, duration: s.duration,
	}
	if s.finished {
		switch {
		case s.status.Signaled():
			shot.signal = int(s.status.Signal())
			shot.exitCode = 128 + shot.signal
		default:
			shot.exitCode = s.status.ExitStatus()
		}
		if s.timedOut {
			shot.exitCode = exitCodeTimeout
		}
	} else if !s.exited {
		shot.duration = time.Since(s.started)
	}
	s.mu.Unlock()

	if withOutput {
		shot.stdout, shot.stderr, shot.truncated = s.transcript.Kept()
	} else {
		shot.truncated = s.transcript.Truncated()
	}
	return shot
}
