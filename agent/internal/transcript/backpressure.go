package transcript

import "time"

const (
	// stallTimeout is how long a command whose output has filled its ring waits
	// for its fastest reader to take something.
	stallTimeout = 5 * time.Second
	// slowTimeout is how long it waits in all for a slower reader, until that
	// reader has caught up.
	slowTimeout = 500 * time.Millisecond
)

// heldOffset is the offset from which output is kept for a reader that may come
// back.
type heldOffset struct {
	offset uint64
	until  time.Time
}

// makeRoom returns how many of the wanted bytes can be stored without a loss for
// the reader that is waited for. It releases the lock while it waits.
func (t *Transcript) makeRoom(wanted int) int {
	for {
		kept, timeout, waiting := t.awaited()
		if !waiting || t.ring.limit == 0 {
			return wanted
		}
		size := t.ring.reserve(wanted)
		free := size - int(t.ring.end()-max(kept, t.ring.startOffset))
		if free >= min(wanted, size/8) {
			return min(wanted, free)
		}
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		began := time.Now()
		t.mu.Unlock()
		wait(room, timeout)
		t.mu.Lock()
		t.charge(time.Since(began))
	}
}

// awaited finds the offset from which output must be kept, and for how long at
// most.
func (t *Transcript) awaited() (offset uint64, timeout time.Duration, waiting bool) {
	now := time.Now()
	if len(t.readers) == 0 {
		timeout = t.held.until.Sub(now)
		return t.held.offset, timeout, timeout > 0
	}
	fastest := t.fastest()
	if fastest == nil {
		return 0, 0, false
	}
	timeout = t.stall
	if fastest.place() < t.ring.end() {
		if fastest.waitedAt.IsZero() {
			fastest.waitedAt = now
		}
		timeout = fastest.waitedAt.Add(t.stall).Sub(now)
	}
	if timeout <= 0 {
		fastest.lagging = true
		return t.awaited()
	}
	offset = fastest.place()
	for r := range t.readers {
		if r.lagging || r.place() >= fastest.place() {
			continue
		}
		left := slowTimeout - r.waited
		if left <= 0 {
			r.lagging = true
			continue
		}
		offset, timeout = min(offset, r.place()), min(timeout, left)
	}
	return offset, timeout, true
}

// fastest is the reader that is ahead of the others that are waited for.
func (t *Transcript) fastest() (fastest *Reader) {
	for r := range t.readers {
		if !r.lagging && (fastest == nil || r.place() > fastest.place()) {
			fastest = r
		}
	}
	return fastest
}

// charge adds a wait to the total of the readers that are behind.
func (t *Transcript) charge(waited time.Duration) {
	fastest := t.fastest()
	for r := range t.readers {
		if fastest != nil && r.place() < fastest.place() {
			r.waited += waited
		} else {
			r.waited = 0
		}
	}
}

// moved records that a reader has made progress.
func (t *Transcript) moved(r *Reader) {
	r.waitedAt = time.Time{}
	if r.place() >= t.ring.end() {
		r.lagging, r.waited = false, 0
	}
	t.roomMade()
}

func (t *Transcript) roomMade() {
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

// wait returns when there may be room, or after timeout.
func wait(room <-chan struct{}, timeout time.Duration) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-room:
	case <-timer.C:
	}
}
