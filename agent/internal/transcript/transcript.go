// Package transcript keeps what commands print, in bounded memory, for readers
// that come and go.
package transcript

import (
	"sync"
	"time"
)

// Transcript is what a command has printed, as far as it is kept, with those
// who read it. The command is held back for the fastest of them, and for a
// moment for others: one reader loses nothing, and a slow one among several
// does not slow them.
type Transcript struct {
	mu      sync.Mutex
	ring    *ring
	readers map[*Reader]struct{}
	room    chan struct{} // closed when output may have room again; nil while nobody waits
	hold    time.Duration // how long a reader is expected, at first and after the last has gone
	held    heldPlace
	final   bool // nothing more will come
	stall   time.Duration
}

// New makes the transcript of a command that is about to start. It keeps the last
// limit bytes, fewer where the budget is spent. For hold the command is held back
// for a reader that is expected: at first, and after the last one has gone.
func New(limit int, budget *Budget, hold time.Duration) *Transcript {
	t := &Transcript{ring: newRing(limit, budget), readers: make(map[*Reader]struct{}), hold: hold, stall: stallPatience}
	if hold > 0 {
		t.held = heldPlace{until: time.Now().Add(hold)}
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

// Finish says that nothing more will come.
func (t *Transcript) Finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.final = true
	t.wakeAll()
}

// End is the position after all that was printed so far.
func (t *Transcript) End() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring.end()
}

// Attached counts the readers.
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

// Compact gives memory back that was taken for more output than came.
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

// Kept is what a transcript keeps at this moment, without a copy of it.
func (t *Transcript) Kept() *Kept {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &Kept{t: t, from: t.ring.offset, end: t.ring.end(), truncated: t.ring.truncated}
}

// Truncated tells whether some of the output is not kept any more.
func (t *Transcript) Truncated() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ring.truncated
}
