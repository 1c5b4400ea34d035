package main

import (
	"sync"
	"time"
)

const (
	// stallPatience is how long a command whose output has filled its ring
	// waits for its fastest reader to take something.
	stallPatience = 5 * time.Second
	// slowPatience is how long it waits in all for one that is slower than
	// others, until that one has caught up.
	slowPatience = 500 * time.Millisecond
)

// transcript is what a command has printed, as far as it is kept, with those
// who read it. The command is held back for the fastest of them, and for a
// moment for others: one reader loses nothing, and a slow one among several
// does not slow them.
type transcript struct {
	mu      sync.Mutex
	ring    *ring
	readers map[*reader]struct{}
	room    chan struct{} // closed when output may have room again; nil while nobody waits
	hold    time.Duration // how long a reader is expected, at first and after the last has gone
	held    heldPlace
	final   bool // nothing more will come
	stall   time.Duration
}

// heldPlace is the position from which output is kept for a reader that is
// expected back.
type heldPlace struct {
	position uint64
	until    time.Time
}

// reader is one walk over the output. Its fields belong to the transcript's lock.
type reader struct {
	next     uint64        // position of the next byte to send
	taken    uint64        // up to where the host says it has it
	acks     bool          // whether the host says so at all
	waitedAt time.Time     // since when the command waits for it as the fastest
	waited   time.Duration // how long it was waited for since it caught up
	lagging  bool          // not waited for until it has caught up
	idle     bool
	wake     chan struct{}
}

func newTranscript(ring *ring, hold time.Duration) *transcript {
	t := &transcript{ring: ring, readers: make(map[*reader]struct{}), hold: hold, stall: stallPatience}
	if hold > 0 {
		t.held = heldPlace{until: time.Now().Add(hold)}
	}
	return t
}

// add appends output, waiting for readers where it must.
func (t *transcript) add(kind stream, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(data) > 0 {
		count := t.makeRoom(len(data))
		t.ring.append(kind, data[:count])
		data = data[count:]
		t.wakeAll()
	}
}

// makeRoom returns how many of the wanted bytes fit now without a loss for the
// reader that is waited for. It lets go of the lock while it waits.
func (t *transcript) makeRoom(wanted int) int {
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
		waitFor(room, patience)
		t.mu.Lock()
		t.charge(time.Since(began))
	}
}

// awaited finds the position from which output must be kept, and for how long
// at most.
func (t *transcript) awaited() (position uint64, patience time.Duration, waiting bool) {
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
func (t *transcript) fastest() (fastest *reader) {
	for r := range t.readers {
		if !r.lagging && (fastest == nil || r.place() > fastest.place()) {
			fastest = r
		}
	}
	return fastest
}

// charge accounts a wait to the readers that are behind.
func (t *transcript) charge(waited time.Duration) {
	fastest := t.fastest()
	for r := range t.readers {
		if fastest != nil && r.place() < fastest.place() {
			r.waited += waited
		} else {
			r.waited = 0
		}
	}
}

// place is the position up to which the reader needs nothing any more.
func (r *reader) place() uint64 {
	if r.acks {
		return r.taken
	}
	return r.next
}

// moved notes that a reader has made progress.
func (t *transcript) moved(r *reader) {
	r.waitedAt = time.Time{}
	if r.place() >= t.ring.end() {
		r.lagging, r.waited = false, 0
	}
	t.roomMade()
}

func (t *transcript) roomMade() {
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

func (t *transcript) wakeAll() {
	for r := range t.readers {
		if r.idle {
			r.idle = false
			r.signal()
		}
	}
}

// signal makes a reader look again.
func (r *reader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// attach adds a reader that begins at a position, or at the end of what there
// is. With acks, only what the host says it has counts as taken. ok is false
// when the position is beyond the end.
func (t *transcript) attach(from uint64, fromEnd, acks bool) (r *reader, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fromEnd {
		from = t.ring.end()
	}
	if from > t.ring.end() {
		return nil, false
	}
	r = &reader{next: from, taken: from, acks: acks, wake: make(chan struct{}, 1)}
	t.readers[r] = struct{}{}
	t.held = heldPlace{}
	t.roomMade()
	return r, true
}

// detach removes a reader. What it had not taken is kept for a while, if it
// was the last. It returns how many are left.
func (t *transcript) detach(r *reader) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, r)
	if len(t.readers) == 0 && t.hold > 0 && !r.lagging {
		t.held = heldPlace{position: r.place(), until: time.Now().Add(t.hold)}
	}
	t.roomMade()
	return len(t.readers)
}

// acknowledge notes up to which position the host has the output.
func (t *transcript) acknowledge(r *reader, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position > r.taken && position <= r.next {
		r.taken = position
		t.moved(r)
	}
}

// piece is what a reader gets next: bytes of one stream, or a gap.
type piece struct {
	kind  stream
	count int
	gap   uint64 // bytes that were lost here
	idle  bool   // there is nothing now; the reader will be woken
	final bool   // there is nothing and never will be
}

// read copies the reader's next bytes. At the end the reader is marked idle,
// so that it is woken by more.
func (t *transcript) read(r *reader, into []byte) piece {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.next < t.ring.offset {
		gap := t.ring.offset - r.next
		r.next = t.ring.offset
		r.taken = max(r.taken, r.next)
		t.moved(r)
		return piece{gap: gap}
	}
	next := piece{}
	next.kind, next.count = t.ring.copyFrom(r.next, into)
	r.next += uint64(next.count)
	if next.count > 0 {
		t.moved(r)
	}
	next.idle = next.count == 0
	next.final = next.idle && t.final
	r.idle = next.idle
	return next
}

// finish says that nothing more will come.
func (t *transcript) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.final = true
	t.wakeAll()
}

// end is the position after all that was printed so far.
func (t *transcript) end() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring.end()
}

// attached counts the readers.
func (t *transcript) attached() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.readers)
}

// discard frees what is kept; later output is dropped.
func (t *transcript) discard() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ring.discard()
	t.roomMade()
	t.wakeAll()
}

// kept returns copies of what is kept of each stream.
func (t *transcript) kept() (out, errs []byte, truncated bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out, errs = t.ring.split()
	return out, errs, t.ring.truncated
}

func (t *transcript) truncated() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring.truncated
}
