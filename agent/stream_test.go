package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
)

// Frames of attached streams, as README.md has them.
const (
	inputFrame    = 0
	stdoutFrame   = 1
	stderrFrame   = 2
	exitFrame     = 3
	inputEndFrame = 4
	replayedFrame = 4
	gapFrame      = 5
	acceptedFrame = 6
	positionFrame = 7
	takenFrame    = 8

	maxFrame = 64 << 10
)

func encodeFrame(kind byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload))), payload...)
}

func decodeFrame(from io.Reader) (kind byte, payload []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(header[1:]))
	_, err = io.ReadFull(from, payload)
	return header[0], payload, err
}

// attached is the host's side of an attached stream.
type attached struct {
	t      testing.TB
	input  *io.PipeWriter
	body   io.ReadCloser
	cancel context.CancelFunc

	accepted, position, gap, replayed uint64
	replayEnds                        int
	out, errs                         bytes.Buffer
	exit                              *int
}

// attach opens a stream; its first two frames are read.
func (h *host) attach(id, query string) *attached {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://agent/v1/exec/"+id+"/attach"+query, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := h.client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	if response.StatusCode != 200 {
		text, _ := io.ReadAll(response.Body)
		h.t.Fatalf("attach: %d %s", response.StatusCode, text)
	}
	a := &attached{t: h.t, input: writer, body: response.Body, cancel: cancel}
	h.t.Cleanup(a.close)
	a.next()
	a.next()
	return a
}

func (a *attached) close() {
	a.input.Close()
	a.cancel()
	a.body.Close()
}

// next reads one frame; false at the end of the stream.
func (a *attached) next() bool {
	a.t.Helper()
	kind, payload, err := decodeFrame(a.body)
	if err != nil {
		return false
	}
	number := func() uint64 { return binary.BigEndian.Uint64(payload) }
	switch kind {
	case stdoutFrame:
		a.out.Write(payload)
		a.position += uint64(len(payload))
	case stderrFrame:
		a.errs.Write(payload)
		a.position += uint64(len(payload))
	case exitFrame:
		code := int(int32(binary.BigEndian.Uint32(payload)))
		a.exit = &code
	case replayedFrame:
		a.replayed = number()
		a.replayEnds++
		if a.replayed != a.position {
			a.t.Fatalf("the replay ends at %d, read up to %d", a.replayed, a.position)
		}
	case gapFrame:
		a.gap += number()
		a.position += number()
	case acceptedFrame:
		a.accepted = number()
	case positionFrame:
		a.position = number()
	default:
		a.t.Fatalf("frame of type %d", kind)
	}
	return true
}

// until reads frames until the condition holds.
func (a *attached) until(what string, holds func() bool) {
	a.t.Helper()
	for !holds() {
		if !a.next() {
			a.t.Fatalf("the stream ended before: %s; printed %.300q, %.300q", what, a.out.String(), a.errs.String())
		}
	}
}

func (a *attached) untilExit() int {
	a.t.Helper()
	a.until("exit", func() bool { return a.exit != nil })
	return *a.exit
}

func (a *attached) send(kind byte, payload []byte) {
	a.t.Helper()
	if _, err := a.input.Write(encodeFrame(kind, payload)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *attached) write(text string) { a.send(inputFrame, []byte(text)) }

// start begins a session and returns its id.
func (h *host) start(script string, more map[string]any) string {
	h.t.Helper()
	request := map[string]any{"argv": []string{"bash", "-c", script}, "user": "root", "kind": "session", "stdin": true, "waitMs": 0}
	for name, value := range more {
		request[name] = value
	}
	return h.exec(request).ID
}
