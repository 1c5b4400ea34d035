package exec

import (
	"net/http"
	"sync"
)

const (
	// batchSize is the largest piece that is written to the host, in bytes: large,
	// so that frames on the port are large, too.
	batchSize = 256 << 10
	// batchReserve is the room in a batch for frames without output.
	batchReserve = 256
	// leastPayload is the smallest room for which a frame of output is made.
	leastPayload = 4 << 10
)

var batchBuffers = sync.Pool{New: func() any { return new([batchSize]byte) }}

// sender sends a command's output, and how much input was accepted, to one host.
type sender struct {
	*attachment
	accepted  uint64 // input, as last reported
	offset    uint64 // of the output that comes next
	replaying bool
}

// sendOutput sends frames until one side ends. It has a buffer only while there is
// something to send.
func (a *attachment) sendOutput(w http.ResponseWriter) {
	t := &sender{attachment: a, accepted: a.accepted.Load(), offset: a.reader.Offset(), replaying: true}
	head := appendNumberFrame(nil, frameAccepted, t.accepted)
	if _, err := w.Write(appendNumberFrame(head, frameOffset, t.offset)); err != nil {
		return
	}
	response := http.NewResponseController(w)
	for !a.isGone() {
		state, err := t.sendOnce(w)
		if err != nil || response.Flush() != nil || state == sendOver {
			return
		}
		if state == sendIdle {
			select {
			case <-a.reader.Woken():
			case <-a.gone:
			}
		}
	}
}

type sendState int

const (
	sendMore sendState = iota
	sendIdle           // the reader is woken by more
	sendOver           // the command has ended and everything is sent
)

// sendOnce sends what there is, at most one batch.
func (t *sender) sendOnce(w http.ResponseWriter) (state sendState, err error) {
	buffer := batchBuffers.Get().(*[batchSize]byte)
	defer batchBuffers.Put(buffer)
	batch, state := t.collect(buffer[:0])
	if len(batch) > 0 {
		_, err = w.Write(batch)
	}
	return state, err
}

// collect appends frames until nothing is left or the batch is full.
func (t *sender) collect(batch []byte) ([]byte, sendState) {
	if now := t.attachment.accepted.Load(); now != t.accepted {
		t.accepted = now
		batch = appendNumberFrame(batch, frameAccepted, now)
	}
	for {
		if t.replaying && t.offset >= t.replayed {
			t.replaying = false
			batch = appendNumberFrame(batch, frameReplayed, t.offset)
		}
		room := min(cap(batch)-len(batch)-batchReserve-frameHeader, maxFrame)
		if room < leastPayload {
			return batch, sendMore
		}
		frame := batch[len(batch) : len(batch)+frameHeader+room]
		payload := frame[frameHeader:]
		if t.replaying {
			payload = payload[:min(uint64(room), t.replayed-t.offset)]
		}
		next := t.output.Read(t.reader, payload)
		t.offset += next.Gap + uint64(next.Count)
		switch {
		case next.Gap > 0:
			batch = appendNumberFrame(batch, frameGap, next.Gap)
		case next.Count > 0:
			putHeader(frame, byte(next.Stream), next.Count)
			batch = batch[:len(batch)+frameHeader+next.Count]
		case next.Final:
			return appendExitFrame(batch, t.exitCode()), sendOver
		default:
			return batch, sendIdle
		}
	}
}
