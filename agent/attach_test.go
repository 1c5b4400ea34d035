package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAttachedInputAndOutput(t *testing.T) {
	h := newReadyHost(t)
	a := h.attach(h.start(`while read -r line; do echo "got $line"; echo "err $line" >&2; done; exit 7`, nil), "")
	a.write("one\ntwo")
	a.write("\n")
	a.until("both lines", func() bool {
		return strings.Contains(a.errs.String(), "err two") && strings.Contains(a.out.String(), "got two")
	})
	a.send(inputEndFrame, nil)
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
			a.input.Write(encodeFrame(takenFrame, binary.BigEndian.AppendUint64(nil, a.position)))
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
	other.send(inputEndFrame, nil)
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
		for {
			if _, err := a.input.Write(encodeFrame(inputFrame, chunk)); err != nil {
				return
			}
		}
	}()
	const queue, pipe = 256 << 10, 64 << 10
	a.until("the queue is full", func() bool { return a.accepted >= queue })
	if a.accepted > queue+maxFrame+pipe {
		t.Fatalf("%d bytes are accepted", a.accepted)
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
	a.send(inputFrame, nil)
	a.send(99, []byte("what is this"))
	a.send(takenFrame, []byte{1})
	a.send(takenFrame, binary.BigEndian.AppendUint64(nil, 1<<60))
	a.write("still here")
	a.until("the echo", func() bool { return a.out.String() == "still here" })

	broken := h.attach(id, "?from=end")
	broken.input.Write(binary.BigEndian.AppendUint32([]byte{inputFrame}, maxFrame+1))
	for broken.next() {
	}
	cut := h.attach(id, "?from=end")
	cut.input.Write([]byte{inputFrame, 0, 0, 0, 9, 'x'})
	cut.close()
	if broken.exit != nil || !decode[result](t, h.want(200, "GET", "/v1/exec/"+id, nil).body).Running {
		t.Fatal("a broken frame ended the command")
	}
	a.write(".")
	a.send(inputEndFrame, nil)
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
	const piece, framesAhead = 64 << 10, 4
	sent := 0
	send := func() {
		for sent < size && sent < int(a.accepted)+framesAhead*piece {
			a.send(inputFrame, make([]byte, piece))
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
			a.send(takenFrame, binary.BigEndian.AppendUint64(nil, told))
		}
		send()
	}
	if a.gap != 0 {
		t.Fatalf("%d bytes are lost", a.gap)
	}
}
