package transcript

import "time"

// Reader is one walk over the output, by one goroutine. Its fields belong to the
// transcript's lock.
type Reader struct {
	next     uint64        // position of the next byte to send
	taken    uint64        // up to where the host says it has it
	acks     bool          // whether the host says so at all
	waitedAt time.Time     // since when the command waits for it as the fastest
	waited   time.Duration // how long it was waited for since it caught up
	lagging  bool          // not waited for until it has caught up
	idle     bool
	wake     chan struct{}
}

// place is the position up to which the reader needs nothing any more.
func (r *Reader) place() uint64 {
	if r.acks {
		return r.taken
	}
	return r.next
}

// Position is that of the byte that Read gives next. It is for the goroutine that
// reads.
func (r *Reader) Position() uint64 { return r.next }

// Woken receives when there is something to look for: after a Read that found
// nothing, and after Signal.
func (r *Reader) Woken() <-chan struct{} { return r.wake }

// Signal makes a reader look again.
func (r *Reader) Signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Attach adds a reader that begins at a position, or at the end of what there
// is. With acks, only what the host says it has counts as taken. ok is false
// when the position is beyond the end.
func (t *Transcript) Attach(from uint64, fromEnd, acks bool) (r *Reader, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fromEnd {
		from = t.ring.end()
	}
	if from > t.ring.end() {
		return nil, false
	}
	r = &Reader{next: from, taken: from, acks: acks, wake: make(chan struct{}, 1)}
	t.readers[r] = struct{}{}
	t.held = heldPlace{}
	t.roomMade()
	return r, true
}

// Detach removes a reader. What it had not taken is kept for a while, if it
// was the last. It returns how many are left.
func (t *Transcript) Detach(r *Reader) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, r)
	if len(t.readers) == 0 && t.hold > 0 && !r.lagging {
		t.held = heldPlace{position: r.place(), until: time.Now().Add(t.hold)}
	}
	t.roomMade()
	return len(t.readers)
}

// Acknowledge notes up to which position the host has the output.
func (t *Transcript) Acknowledge(r *Reader, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if position > r.taken && position <= r.next {
		r.taken = position
		t.moved(r)
	}
}

// Piece is what a reader gets next: bytes of one stream, or a gap.
type Piece struct {
	Stream Stream
	Count  int    // bytes; with no gap, 0 means that there is nothing now, and the reader will be woken
	Gap    uint64 // bytes that were lost here
	Final  bool   // there is nothing and never will be
}

// Read copies the reader's next bytes. At the end the reader is marked idle,
// so that it is woken by more.
func (t *Transcript) Read(r *Reader, into []byte) Piece {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.next < t.ring.offset {
		gap := t.ring.offset - r.next
		r.next = t.ring.offset
		r.taken = max(r.taken, r.next)
		t.moved(r)
		return Piece{Gap: gap}
	}
	next := Piece{}
	next.Stream, next.Count = t.ring.copyFrom(r.next, into)
	r.next += uint64(next.Count)
	if next.Count > 0 {
		t.moved(r)
	}
	r.idle = next.Count == 0
	next.Final = r.idle && t.final
	return next
}
