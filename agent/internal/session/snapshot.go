package session

import "time"

const exitCodeTimeout = -1

// Snapshot is the state of a session at one moment.
type Snapshot struct {
	ID        string
	Kind      string
	Unlisted  bool
	Argv      []string
	Input     bool // whether it has input
	Terminal  bool
	Attached  int // number of readers
	KeepAwake bool
	Running   bool
	ExitCode  int // -1 after a timeout; 128 plus the signal that has ended it
	Signal    int // that has ended it; 0 means none
	TimedOut  bool
	Truncated bool // whether some output is not kept any more
	Started   time.Time
	Duration  time.Duration // so far, or in all
}

// Snapshot returns the current state.
func (s *Session) Snapshot() Snapshot {
	s.mu.Lock()
	shot := Snapshot{
		ID: s.ID, Kind: s.kind, Unlisted: s.unlisted, Argv: s.argv, Started: s.started,
		Input: s.input != nil, Terminal: s.terminal != nil, Attached: s.Transcript.Attached(), KeepAwake: !s.background,
		Running: !s.finished, TimedOut: s.timedOut && s.finished, Duration: s.duration,
	}
	if s.finished {
		switch {
		case s.status.Signaled():
			shot.Signal = int(s.status.Signal())
			shot.ExitCode = 128 + shot.Signal
		default:
			shot.ExitCode = s.status.ExitStatus()
		}
		if s.timedOut {
			shot.ExitCode = exitCodeTimeout
		}
	} else if !s.exited {
		shot.Duration = time.Since(s.started)
	}
	s.mu.Unlock()

	shot.Truncated = s.Transcript.Truncated()
	return shot
}
