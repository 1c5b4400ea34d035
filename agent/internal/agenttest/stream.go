package agenttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// Frames of attached streams, as README.md has them.
const (
	InputFrame    = 0
	stdoutFrame   = 1
	stderrFrame   = 2
	exitFrame     = 3
	InputEndFrame = 4
	replayedFrame = 4
	gapFrame      = 5
	acceptedFrame = 6
	positionFrame = 7
	TakenFrame    = 8

	MaxFrame = 64 << 10
)

// EncodeFrame makes a frame.
func EncodeFrame(kind byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload))), payload...)
}

func decodeFrame(from io.Reader) (kind byte, payload []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > MaxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes", length)
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(from, payload)
	return header[0], payload, err
}

// Stream is the host's side of an attached stream.
type Stream struct {
	Input                           *io.PipeWriter
	Accepted, Offset, Gap, Replayed uint64 // as frames have reported them
	ReplayEnds                      int    // how often the replay has ended
	Out, Errs                       bytes.Buffer
	Exit                            *int

	t      testing.TB
	body   io.ReadCloser
	cancel context.CancelFunc
}

// Attach opens a stream; its first two frames are read.
func (h *Host) Attach(id, query string) *Stream {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://agent/v1/exec/"+id+"/attach"+query, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := h.Client.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	if response.StatusCode != 200 {
		text, _ := io.ReadAll(response.Body)
		h.t.Fatalf("attach: %d %s", response.StatusCode, text)
	}
	a := &Stream{t: h.t, Input: writer, body: response.Body, cancel: cancel}
	h.t.Cleanup(a.Close)
	a.Next()
	a.Next()
	return a
}

// Close hangs up.
func (a *Stream) Close() {
	a.Input.Close()
	a.cancel()
	a.body.Close()
}

// Next reads one frame; false at the end of the stream.
func (a *Stream) Next() bool {
	a.t.Helper()
	kind, payload, err := decodeFrame(a.body)
	if err != nil {
		return false
	}
	number := func() uint64 { return binary.BigEndian.Uint64(payload) }
	switch kind {
	case stdoutFrame:
		a.Out.Write(payload)
		a.Offset += uint64(len(payload))
	case stderrFrame:
		a.Errs.Write(payload)
		a.Offset += uint64(len(payload))
	case exitFrame:
		code := int(int32(binary.BigEndian.Uint32(payload)))
		a.Exit = &code
	case replayedFrame:
		a.Replayed = number()
		a.ReplayEnds++
		if a.Replayed != a.Offset {
			a.t.Fatalf("the replay ends at %d, read up to %d", a.Replayed, a.Offset)
		}
	case gapFrame:
		a.Gap += number()
		a.Offset += number()
	case acceptedFrame:
		a.Accepted = number()
	case positionFrame:
		a.Offset = number()
	default:
		a.t.Fatalf("frame of type %d", kind)
	}
	return true
}

// Until reads frames until the condition holds.
func (a *Stream) Until(what string, holds func() bool) {
	a.t.Helper()
	for !holds() {
		if !a.Next() {
			a.t.Fatalf("the stream ended before: %s; printed %.300q, %.300q", what, a.Out.String(), a.Errs.String())
		}
	}
}

// UntilExit reads to the end of the command and returns its exit code.
func (a *Stream) UntilExit() int {
	a.t.Helper()
	a.Until("exit", func() bool { return a.Exit != nil })
	return *a.Exit
}

// Send sends a frame.
func (a *Stream) Send(kind byte, payload []byte) {
	a.t.Helper()
	if _, err := a.Input.Write(EncodeFrame(kind, payload)); err != nil {
		a.t.Fatal(err)
	}
}

// Write sends input.
func (a *Stream) Write(text string) { a.Send(InputFrame, []byte(text)) }

// Start begins a session and returns its id.
func (h *Host) Start(script string, more map[string]any) string {
	h.t.Helper()
	request := map[string]any{"argv": []string{"bash", "-c", script}, "user": "root", "kind": "session", "stdin": true, "waitMs": 0}
	for name, value := range more {
		request[name] = value
	}
	return h.Exec(request).ID
}
