package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/transcript"
)

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
	kind, payload, err := readFrame(a.body)
	if err != nil {
		return false
	}
	number := func() uint64 { return binary.BigEndian.Uint64(payload) }
	switch kind {
	case byte(transcript.Stdout):
		a.out.Write(payload)
		a.position += uint64(len(payload))
	case byte(transcript.Stderr):
		a.errs.Write(payload)
		a.position += uint64(len(payload))
	case frameExit:
		code := int(int32(binary.BigEndian.Uint32(payload)))
		a.exit = &code
	case frameReplayed:
		a.replayed = number()
		a.replayEnds++
		if a.replayed != a.position {
			a.t.Fatalf("the replay ends at %d, read up to %d", a.replayed, a.position)
		}
	case frameGap:
		a.gap += number()
		a.position += number()
	case frameAccepted:
		a.accepted = number()
	case framePosition:
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
	frame := make([]byte, frameHeader, frameHeader+len(payload))
	putHeader(frame, kind, len(payload))
	if _, err := a.input.Write(append(frame, payload...)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *attached) write(text string) { a.send(frameInput, []byte(text)) }

// start begins a session and returns its id.
func (h *host) start(script string, more map[string]any) string {
	h.t.Helper()
	request := map[string]any{"argv": []string{"bash", "-c", script}, "user": "root", "kind": "session", "stdin": true, "waitMs": 0}
	for name, value := range more {
		request[name] = value
	}
	return h.exec(request).ID
}

func TestAttachedInputAndOutput(t *testing.T) {
	h := newReadyHost(t)
	a := h.attach(h.start(`while read -r line; do echo "got $line"; echo "err $line" >&2; done; exit 7`, nil), "")
	a.write("one\ntwo")
	a.write("\n")
	a.until("both lines", func() bool {
		return strings.Contains(a.errs.String(), "err two") && strings.Contains(a.out.String(), "got two")
	})
	a.send(frameInputEnd, nil)
	if code := a.untilExit(); code != 7 || a.next() {
		t.Fatalf("exit %d, or more after it", code)
	}
	if a.accepted != 8 || a.replayEnds != 1 || a.replayed != 0 {
		t.Errorf("accepted %d, replay ends %d at %d", a.accepted, a.replayEnds, a.replayed)
	}
}

func TestAttachAfterTheEndReplays(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("echo out; echo err >&2; exit 3", nil)
	h.want(200, "GET", "/v1/exec/"+id+"?waitMs=10000", nil)
	a := h.attach(id, "")
	if code := a.untilExit(); code != 3 || a.out.String() != "out\n" || a.errs.String() != "err\n" || a.replayEnds != 1 {
		t.Fatalf("exit %d, %q, %q, %d", code, a.out.String(), a.errs.String(), a.replayEnds)
	}
	b := h.attach(id, "?from=4")
	if b.untilExit(); b.out.Len()+b.errs.Len() != 4 || b.position != 8 {
		t.Fatalf("from 4: %q %q up to %d", b.out.String(), b.errs.String(), b.position)
	}
	c := h.attach(id, "?from=end")
	if c.untilExit(); c.out.Len()+c.errs.Len() != 0 {
		t.Fatalf("from the end: %q %q", c.out.String(), c.errs.String())
	}
	h.refused(400, "invalid_offset", "POST", "/v1/exec/"+id+"/attach?from=9", nil)
	h.refused(400, "invalid_offset", "POST", "/v1/exec/"+id+"/attach?from=-1", nil)
	h.refused(400, "invalid_request", "POST", "/v1/exec/"+id+"/attach?client=a/b", nil)
	h.refused(404, "not_found", "POST", "/v1/exec/00000000/attach", nil)
}

// Readers come and go all the time while a command prints; each continues
// where it was.
func TestNothingIsLostOrDoubledOverReconnects(t *testing.T) {
	h := newReadyHost(t)
	id := h.start(`seq 1 200000; exit 0`, map[string]any{"holdMs": 10_000})
	var want bytes.Buffer
	for i := 1; i <= 200_000; i++ {
		fmt.Fprintln(&want, i)
	}
	var got bytes.Buffer
	for round := 0; ; round++ {
		a := h.attach(id, fmt.Sprintf("?acks=true&from=%d", got.Len()))
		target := a.position + uint64(1000*(round%70+1))
		for a.exit == nil && a.position < target && a.next() {
			// The stream may have ended meanwhile.
			a.input.Write(appendNumberFrame(nil, frameTaken, a.position))
		}
		got.Write(a.out.Bytes())
		if a.gap != 0 {
			t.Fatalf("%d bytes lost at %d", a.gap, got.Len())
		}
		a.close()
		if a.exit != nil {
			break
		}
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("%d bytes of %d", got.Len(), want.Len())
	}
}

func TestOneSlowReaderLosesNothing(t *testing.T) {
	h := newReadyHost(t)
	const size = 20 << 20
	a := h.attach(h.start(fmt.Sprintf("head -c %d /dev/zero", size), map[string]any{"holdMs": 10_000}), "")
	for a.exit == nil && a.next() {
		if a.position%(1<<20) < 10_000 {
			time.Sleep(time.Millisecond) // what makes it slow
		}
	}
	if a.out.Len() != size || a.gap != 0 {
		t.Fatalf("%d bytes, %d lost", a.out.Len(), a.gap)
	}
}

func TestReaderThatTakesNothingSlowsNobody(t *testing.T) {
	h := newReadyHost(t)
	const size = 64 << 20
	id := h.start(fmt.Sprintf("read go; head -c %d /dev/zero", size), nil)
	stuck := h.attach(id, "")
	reading := h.attach(id, "")
	reading.write("go\n")
	if reading.untilExit(); reading.out.Len() != size || reading.gap != 0 {
		t.Fatalf("%d bytes, %d lost", reading.out.Len(), reading.gap)
	}
	if stuck.untilExit(); stuck.gap == 0 || uint64(stuck.out.Len())+stuck.gap != size || stuck.out.Len() > 16<<20 {
		t.Fatalf("the other has %d bytes and lost %d", stuck.out.Len(), stuck.gap)
	}
}

func TestOutputIsHeldForTheFirstReader(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("head -c 3M /dev/zero", map[string]any{"holdMs": 60_000})
	if got := decode[result](t, h.want(200, "GET", "/v1/exec/"+id+"?waitMs=300", nil).body); !got.Running {
		t.Fatal("the command did not wait")
	}
	a := h.attach(id, "")
	if a.untilExit(); a.out.Len() != 3<<20 || a.gap != 0 {
		t.Fatalf("%d bytes, %d lost", a.out.Len(), a.gap)
	}
	short := h.start("head -c 3M /dev/zero", map[string]any{"holdMs": 50})
	if got := decode[result](t, h.want(200, "GET", "/v1/exec/"+short+"?waitMs=30000", nil).body); got.Running || !got.Truncated {
		t.Fatal("a command waits for a reader that never comes")
	}
}

func TestManyReadersGetEverything(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("read go; seq 1 20000", nil)
	readers := make([]*attached, 100)
	for i := range readers {
		readers[i] = h.attach(id, "")
	}
	readers[0].write("go\n")
	for i, a := range readers {
		if a.untilExit(); a.out.Len() != 108_894 || a.gap != 0 {
			t.Fatalf("reader %d: %d bytes, %d lost", i, a.out.Len(), a.gap)
		}
	}
}

func TestInputIsAcceptedOnce(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("cat", nil)
	a := h.attach(id, "?client=me")
	a.write("first ")
	a.until("accepted", func() bool { return a.accepted == 6 })
	b := h.attach(id, "?client=me&from=end")
	if b.accepted != 6 {
		t.Fatalf("the client's second connection is told %d", b.accepted)
	}
	b.write("second")
	b.until("accepted", func() bool { return b.accepted == 12 })
	a.write("again") // an old connection has no say any more
	other := h.attach(id, "")
	other.send(frameInputEnd, nil)
	if other.untilExit(); other.out.String() != "first second" {
		t.Fatalf("the command got %q", other.out.String())
	}
}

func TestInputThatNobodyReadsIsBounded(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("sleep 1000", nil)
	a := h.attach(id, "")
	go func() {
		chunk := make([]byte, 32<<10)
		frame := make([]byte, frameHeader)
		putHeader(frame, frameInput, len(chunk))
		for {
			if _, err := a.input.Write(append(frame[:frameHeader:frameHeader], chunk...)); err != nil {
				return
			}
		}
	}()
	a.until("the queue is full", func() bool { return a.accepted >= maxQueuedInput })
	found, err := h.agent.sessions.find(id)
	if err != nil {
		t.Fatal(err)
	}
	found.input.mu.Lock()
	queued := found.input.queued
	found.input.mu.Unlock()
	if queued > maxQueuedInput+maxFrame {
		t.Fatalf("%d bytes are queued", queued)
	}
	h.want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 9})
	if code := a.untilExit(); code != 137 {
		t.Fatalf("exit %d", code)
	}
}

func TestFramesOfTheHost(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("cat", nil)
	a := h.attach(id, "")
	a.send(frameInput, nil)
	a.send(99, []byte("what is this"))
	a.send(frameTaken, []byte{1})
	a.send(frameTaken, binary.BigEndian.AppendUint64(nil, 1<<60))
	a.write("still here")
	a.until("the echo", func() bool { return a.out.String() == "still here" })

	broken := h.attach(id, "?from=end")
	huge := make([]byte, frameHeader)
	putHeader(huge, frameInput, maxFrame+1)
	broken.input.Write(huge)
	for broken.next() {
	}
	cut := h.attach(id, "?from=end")
	cut.input.Write([]byte{frameInput, 0, 0, 0, 9, 'x'})
	cut.close()
	if broken.exit != nil || !decode[result](t, h.want(200, "GET", "/v1/exec/"+id, nil).body).Running {
		t.Fatal("a broken frame ended the command")
	}
	a.write(".")
	a.send(frameInputEnd, nil)
	if a.untilExit(); a.out.String() != "still here." {
		t.Fatalf("the command printed %q", a.out.String())
	}
}

func TestQuiesceEndsStreamsAndSessionsGoOn(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("while read -r line; do echo $line; done", nil)
	a := h.attach(id, "?client=c")
	a.write("before\n")
	a.until("the echo", func() bool { return a.out.String() == "before\n" })
	h.want(200, "POST", "/v1/quiesce", "{}")
	for a.next() {
	}
	if a.exit != nil {
		t.Fatal("the command ended")
	}
	h.reconnect()
	h.want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"second"}`)
	b := h.attach(id, fmt.Sprintf("?client=c&from=%d", a.position))
	b.write("after\n")
	b.until("the echo", func() bool { return b.out.String() == "after\n" })
}

func TestAloneAfterTheLastReaderHasLeft(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("sleep 1000", map[string]any{"maxRunAfterDisconnectMs": 400})
	a := h.attach(id, "")
	a.close()
	back := h.attach(id, "")
	if got := decode[result](t, h.want(200, "GET", "/v1/exec/"+id+"?waitMs=800", nil).body); !got.Running {
		t.Fatal("killed although a reader is there")
	}
	back.close()
	got := decode[result](t, h.want(200, "GET", "/v1/exec/"+id+"?waitMs=60000", nil).body)
	got.wantExit(t, 137)
}

func TestListTellsWhatSessionsAre(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("cat", nil)
	h.attach(id, "")
	list := decode[struct {
		Sessions []struct {
			ID, Kind   string
			Stdin, TTY bool
			Attached   int
		}
	}](t, h.want(200, "GET", "/v1/exec", nil).body).Sessions
	if len(list) != 1 || list[0].ID != id || list[0].Kind != "session" || !list[0].Stdin || list[0].TTY || list[0].Attached != 1 {
		t.Fatalf("%+v", list)
	}
}

func TestChildThatKeepsThePipesOpenDoesNotHoldTheExit(t *testing.T) {
	h := newReadyHost(t)
	a := h.attach(h.start("sleep 1000 & echo started", nil), "")
	if code := a.untilExit(); code != 0 || a.out.String() != "started\n" {
		t.Fatalf("exit %d, %q", code, a.out.String())
	}
}

func TestCommandThatIgnoresSIGTERM(t *testing.T) {
	h := newReadyHost(t)
	id := h.start("trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo ready; while :; do sleep 0.1; done", nil)
	a := h.attach(id, "")
	a.until("ready", func() bool { return a.out.String() == "ready\n" })
	h.want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 15})
	h.want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 9})
	if code := a.untilExit(); code != 137 {
		t.Fatalf("exit %d", code)
	}
	h.refused(409, "ended", "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 15})
}

// A command that is fed faster than it reads, and whose output has filled the
// ring, goes on once the host says that it has the output.
func TestOutputIsTakenWhileInputWaits(t *testing.T) {
	h := newReadyHost(t)
	const size = 4 << 20
	id := h.start("exec cat", map[string]any{"bufferBytes": 64 << 10, "holdMs": 10_000})
	a := h.attach(id, "")
	const piece = 64 << 10
	sent := 0
	send := func() {
		for sent < size && sent < int(a.accepted)+maxFramesAhead*piece {
			a.send(frameInput, make([]byte, piece))
			sent += piece
		}
	}
	send()
	for told := uint64(0); a.out.Len() < size; {
		if !a.next() {
			t.Fatalf("the stream ended after %d bytes", a.out.Len())
		}
		if a.position > told {
			told = a.position
			a.send(frameTaken, binary.BigEndian.AppendUint64(nil, told))
		}
		send()
	}
	if a.gap != 0 {
		t.Fatalf("%d bytes are lost", a.gap)
	}
}
