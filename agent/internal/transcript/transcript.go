// Package transcript keeps the output of commands, in bounded memory, for readers
// that come and go.
package transcript

import (
	"sync"
	"time"
)

// Transcript is the kept output of a command, with its readers. The command is
// blocked for the fastest reader, and for a short time for slower ones: a single
// reader loses nothing, and a slow one among several does not slow the others
// down.
type Transcript struct {
	mu      sync.Mutex
	ring    *ring
	readers map[*Reader]struct{}
	room    chan struct{} // closed when output may have room again; nil while nobody waits
	hold    time.Duration // how long to wait for a reader, at first and after the last has gone
	held    heldOffset
	final   bool // nothing more will come
	stall   time.Duration
}

// New makes the transcript of a command that is about to start. It keeps the last
// limit bytes, fewer where the budget is used up. For the time hold the command is
// blocked, rather than lose output, until a reader comes: at first, and after the
// last one has gone.
func New(limit int, budget *Budget, hold time.Duration) *Transcript {
	t := &Transcript{ring: newRing(limit, budget), readers: make(map[*Reader]struct{}), hold: hold, stall: stallTimeout}
	if hold > 0 {
		t.held = heldOffset{until: time.Now().Add(hold)}
	}
	return t
}

// Add appends output of one stream, waiting for readers where it must.
func (t *Transcript) Add(kind Stream, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(data) > 0 {
		count := t.makeRoom(len(data))
		t.ring.append(kind, data[:count])
		data = data[count:]
		t.wakeAll()
	}
}

func (t *Transcript) wakeAll() {
	for r := range t.readers {
		if r.idle {
			r.idle = false
			r.Signal()
		}
	}
}

// Finish marks the end of the output.
func (t *Transcript) Finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.final = true
	t.wakeAll()
}

// End is the offset after all output so far.
func (t *Transcript) End() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring.end()
}

// Attached returns the number of readers.
func (t *Transcript) Attached() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.readers)
}

// Discard frees what is kept; later output is dropped.
func (t *Transcript) Discard() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ring.discard()
	t.roomMade()
	t.wakeAll()
}

// Compact frees memory that was reserved for output which did not come.
func (t *Transcript) Compact() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ring.compact()
}

// Size is how many bytes the output takes.
func (t *Transcript) Size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ring.data) + 8*len(t.ring.segments)
}

// Kept returns what the transcript keeps at this moment, without copying it.
func (t *Transcript) Kept() *Kept {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &Kept{t: t, from: t.ring.startOffset, end: t.ring.end(), truncated: t.ring.truncated}
}

// Truncated reports whether some of the output is not kept any more.
func (t *Transcript) Truncated() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring.truncated
}
