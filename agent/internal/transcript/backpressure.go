package transcript

import "time"

const (
	// stallPatience is how long a command whose output has filled its ring
	// waits for its fastest reader to take something.
	stallPatience = 5 * time.Second
	// slowPatience is how long it waits in all for one that is slower than
	// others, until that one has caught up.
	slowPatience = 500 * time.Millisecond
)

// heldPlace is the position from which output is kept for a reader that is
// expected back.
type heldPlace struct {
	position uint64
	until    time.Time
}

// makeRoom returns how many of the wanted bytes fit now without a loss for the
// reader that is waited for. It lets go of the lock while it waits.
func (t *Transcript) makeRoom(wanted int) int {
	for {
		kept, patience, waiting := t.awaited()
		if !waiting || t.ring.limit == 0 {
			return wanted
		}
		size := t.ring.reserve(wanted)
		free := size - int(t.ring.end()-max(kept, t.ring.offset))
		if free >= min(wanted, size/8) {
			return min(wanted, free)
		}
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		began := time.Now()
		t.mu.Unlock()
		wait(room, patience)
		t.mu.Lock()
		t.charge(time.Since(began))
	}
}

// awaited finds the position from which output must be kept, and for how long
// at most.
func (t *Transcript) awaited() (position uint64, patience time.Duration, waiting bool) {
	now := time.Now()
	if len(t.readers) == 0 {
		patience = t.held.until.Sub(now)
		return t.held.position, patience, patience > 0
	}
	fastest := t.fastest()
	if fastest == nil {
		return 0, 0, false
	}
	patience = t.stall
	if fastest.place() < t.ring.end() {
		if fastest.waitedAt.IsZero() {
			fastest.waitedAt = now
		}
		patience = fastest.waitedAt.Add(t.stall).Sub(now)
	}
	if patience <= 0 {
		fastest.lagging = true
		return t.awaited()
	}
	position = fastest.place()
	for r := range t.readers {
		if r.lagging || r.place() >= fastest.place() {
			continue
		}
		left := slowPatience - r.waited
		if left <= 0 {
			r.lagging = true
			continue
		}
		position, patience = min(position, r.place()), min(patience, left)
	}
	return position, patience, true
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

// charge accounts a wait to the readers that are behind.
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

// moved notes that a reader has made progress.
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

// wait returns when there may be room, or once it has been patient.
func wait(room <-chan struct{}, patience time.Duration) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-room:
	case <-timer.C:
	}
}
