package transcript

import "time"

// Reader reads the output once from an offset on, in one goroutine. Its fields are
// guarded by the transcript's lock.
type Reader struct {
	next     uint64        // offset of the next byte to send
	taken    uint64        // offset up to which the host has acknowledged output
	acks     bool          // whether the host acknowledges output
	waitedAt time.Time     // since when the command waits for it as the fastest
	waited   time.Duration // how long it was waited for since it caught up
	lagging  bool          // not waited for until it has caught up
	idle     bool
	wake     chan struct{}
}

// place is the offset before which the reader needs no output any more.
func (r *Reader) place() uint64 {
	if r.acks {
		return r.taken
	}
	return r.next
}

// Offset is the offset of the byte that Read returns next. Only the goroutine that
// reads may call it.
func (r *Reader) Offset() uint64 { return r.next }

// Woken receives when it is worth calling Read again: when output has come after a
// Read that found nothing, and after Signal.
func (r *Reader) Woken() <-chan struct{} { return r.wake }

// Signal wakes a reader.
func (r *Reader) Signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Attach adds a reader that begins at an offset, or at the end of the output so
// far. With acks, only acknowledged output counts as taken. ok is false when the
// offset is beyond the end.
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
	t.held = heldOffset{}
	t.roomMade()
	return r, true
}

// Detach removes a reader. After the last one, the output that it had not taken is
// kept for a while. It returns how many readers are left.
func (t *Transcript) Detach(r *Reader) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, r)
	if len(t.readers) == 0 && t.hold > 0 && !r.lagging {
		t.held = heldOffset{offset: r.place(), until: time.Now().Add(t.hold)}
	}
	t.roomMade()
	return len(t.readers)
}

// Acknowledge records the offset up to which the host has the output.
func (t *Transcript) Acknowledge(r *Reader, offset uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if offset > r.taken && offset <= r.next {
		r.taken = offset
		t.moved(r)
	}
}

// Piece is the next part of the output: bytes of one stream, or a gap.
type Piece struct {
	Stream Stream
	Count  int    // bytes; 0 without a gap means that there is nothing now, and the reader will be woken
	Gap    uint64 // bytes that were lost here
	Final  bool   // there is nothing more, now or later
}

// Read copies the reader's next bytes. At the end of the output so far the reader
// is marked idle, so that more output wakes it.
func (t *Transcript) Read(r *Reader, into []byte) Piece {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.next < t.ring.startOffset {
		gap := t.ring.startOffset - r.next
		r.next = t.ring.startOffset
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
