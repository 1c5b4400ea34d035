package exec

import (
	"net/http"
	"sync"
)

const (
	// batchSize bounds what goes to the host in one piece, in bytes: large
	// enough that frames on the port are large too.
	batchSize = 256 << 10
	// batchReserve is room in a batch for frames without output.
	batchReserve = 256
	// leastPayload is the smallest room that is worth a frame of output.
	leastPayload = 4 << 10
)

var batchBuffers = sync.Pool{New: func() any { return new([batchSize]byte) }}

// teller sends a command's output, and what became of its input, to one host.
type teller struct {
	*attachment
	accepted  uint64 // input, as last told
	position  uint64 // of the output that comes next
	replaying bool
}

// tell sends frames until one side ends. A buffer is held only while there is
// something to send.
func (a *attachment) tell(w http.ResponseWriter) {
	t := &teller{attachment: a, accepted: a.accepted.Load(), position: a.reader.Position(), replaying: true}
	head := appendNumberFrame(nil, frameAccepted, t.accepted)
	if _, err := w.Write(appendNumberFrame(head, framePosition, t.position)); err != nil {
		return
	}
	response := http.NewResponseController(w)
	for !a.isGone() {
		state, err := t.tellOnce(w)
		if err != nil || response.Flush() != nil || state == tellOver {
			return
		}
		if state == tellIdle {
			select {
			case <-a.reader.Woken():
			case <-a.gone:
			}
		}
	}
}

type tellState int

const (
	tellMore tellState = iota
	tellIdle           // the reader is woken by more
	tellOver           // the command has ended and all of it is told
)

// tellOnce sends what there is, at most a batch.
func (t *teller) tellOnce(w http.ResponseWriter) (state tellState, err error) {
	buffer := batchBuffers.Get().(*[batchSize]byte)
	defer batchBuffers.Put(buffer)
	batch, state := t.collect(buffer[:0])
	if len(batch) > 0 {
		_, err = w.Write(batch)
	}
	return state, err
}

// collect appends frames until nothing is left or the batch is full.
func (t *teller) collect(batch []byte) ([]byte, tellState) {
	if now := t.attachment.accepted.Load(); now != t.accepted {
		t.accepted = now
		batch = appendNumberFrame(batch, frameAccepted, now)
	}
	for {
		if t.replaying && t.position >= t.replayed {
			t.replaying = false
			batch = appendNumberFrame(batch, frameReplayed, t.position)
		}
		room := min(cap(batch)-len(batch)-batchReserve-frameHeader, maxFrame)
		if room < leastPayload {
			return batch, tellMore
		}
		frame := batch[len(batch) : len(batch)+frameHeader+room]
		payload := frame[frameHeader:]
		if t.replaying {
			payload = payload[:min(uint64(room), t.replayed-t.position)]
		}
		next := t.output.Read(t.reader, payload)
		t.position += next.Gap + uint64(next.Count)
		switch {
		case next.Gap > 0:
			batch = appendNumberFrame(batch, frameGap, next.Gap)
		case next.Count > 0:
			putHeader(frame, byte(next.Stream), next.Count)
			batch = batch[:len(batch)+frameHeader+next.Count]
		case next.Final:
			return appendExitFrame(batch, t.exitCode()), tellOver
		default:
			return batch, tellIdle
		}
	}
}
