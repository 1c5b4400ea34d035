package session

import (
	"log"
	"time"

	"opencomputer.dev/agent/internal/transcript"
)

// Attach adds a reader of the session's output, as transcript.Attach does. It
// stops the timer that runs while a session has no reader.
func (s *Session) Attach(from uint64, fromEnd, acks bool) (r *transcript.Reader, ok bool) {
	if r, ok = s.Transcript.Attach(from, fromEnd, acks); !ok {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lonely != nil {
		s.lonely.Stop()
	}
	return r, true
}

// Leave removes a reader. After the last one, the timer of a session without
// readers starts.
func (s *Session) Leave(r *transcript.Reader) {
	if s.Transcript.Detach(r) > 0 || s.alone == 0 {
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

// endAlone kills a command to which no reader has come back in time.
func (s *Session) endAlone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited || s.Transcript.Attached() > 0 {
		return
	}
	if err := s.group.Kill(s.pid); err != nil {
		log.Printf("exec %s: cannot kill although nobody reads it any more: %v", s.ID, err)
	}
}
