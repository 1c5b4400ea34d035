package exec_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/agenttest"
)

func TestAttachedInputAndOutput(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	a := h.Attach(h.Start(`while read -r line; do echo "got $line"; echo "err $line" >&2; done; exit 7`, nil), "")
	a.Write("one\ntwo")
	a.Write("\n")
	a.Until("both lines", func() bool {
		return strings.Contains(a.Errs.String(), "err two") && strings.Contains(a.Out.String(), "got two")
	})
	a.Send(agenttest.InputEndFrame, nil)
	if code := a.UntilExit(); code != 7 || a.Next() {
		t.Fatalf("exit %d, or more after it", code)
	}
	if a.Accepted != 8 || a.ReplayEnds != 1 || a.Replayed != 0 {
		t.Errorf("accepted %d, replay ends %d at %d", a.Accepted, a.ReplayEnds, a.Replayed)
	}
}

func TestAttachAfterTheEndReplays(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("echo out; echo err >&2; exit 3", nil)
	h.Want(200, "GET", "/v1/exec/"+id+"?waitMs=10000", nil)
	a := h.Attach(id, "")
	if code := a.UntilExit(); code != 3 || a.Out.String() != "out\n" || a.Errs.String() != "err\n" || a.ReplayEnds != 1 {
		t.Fatalf("exit %d, %q, %q, %d", code, a.Out.String(), a.Errs.String(), a.ReplayEnds)
	}
	b := h.Attach(id, "?from=4")
	if b.UntilExit(); b.Out.Len()+b.Errs.Len() != 4 || b.Offset != 8 {
		t.Fatalf("from 4: %q %q up to %d", b.Out.String(), b.Errs.String(), b.Offset)
	}
	c := h.Attach(id, "?from=end")
	if c.UntilExit(); c.Out.Len()+c.Errs.Len() != 0 {
		t.Fatalf("from the end: %q %q", c.Out.String(), c.Errs.String())
	}
	h.Refused(400, "invalid_offset", "POST", "/v1/exec/"+id+"/attach?from=9", nil)
	h.Refused(400, "invalid_offset", "POST", "/v1/exec/"+id+"/attach?from=-1", nil)
	h.Refused(400, "invalid_request", "POST", "/v1/exec/"+id+"/attach?client=a/b", nil)
	h.Refused(404, "not_found", "POST", "/v1/exec/00000000/attach", nil)
}

// Readers come and go all the time while a command prints; each continues
// where it was.
func TestNothingIsLostOrDoubledOverReconnects(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start(`seq 1 200000; exit 0`, map[string]any{"holdMs": 10_000})
	var want bytes.Buffer
	for i := 1; i <= 200_000; i++ {
		fmt.Fprintln(&want, i)
	}
	var got bytes.Buffer
	for round := 0; ; round++ {
		a := h.Attach(id, fmt.Sprintf("?acks=true&from=%d", got.Len()))
		target := a.Offset + uint64(1000*(round%70+1))
		for a.Exit == nil && a.Offset < target && a.Next() {
			// The stream may have ended meanwhile.
			a.Input.Write(agenttest.EncodeFrame(agenttest.TakenFrame, binary.BigEndian.AppendUint64(nil, a.Offset)))
		}
		got.Write(a.Out.Bytes())
		if a.Gap != 0 {
			t.Fatalf("%d bytes lost at %d", a.Gap, got.Len())
		}
		a.Close()
		if a.Exit != nil {
			break
		}
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("%d bytes of %d", got.Len(), want.Len())
	}
}

func TestOneSlowReaderLosesNothing(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	const size = 20 << 20
	a := h.Attach(h.Start(fmt.Sprintf("head -c %d /dev/zero", size), map[string]any{"holdMs": 10_000}), "")
	for a.Exit == nil && a.Next() {
		if a.Offset%(1<<20) < 10_000 {
			// Real time: what makes it slow.
			time.Sleep(time.Millisecond)
		}
	}
	if a.Out.Len() != size || a.Gap != 0 {
		t.Fatalf("%d bytes, %d lost", a.Out.Len(), a.Gap)
	}
}

func TestReaderThatTakesNothingSlowsNobody(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	const size = 64 << 20
	id := h.Start(fmt.Sprintf("read go; head -c %d /dev/zero", size), nil)
	stuck := h.Attach(id, "")
	reading := h.Attach(id, "")
	reading.Write("go\n")
	if reading.UntilExit(); reading.Out.Len() != size || reading.Gap != 0 {
		t.Fatalf("%d bytes, %d lost", reading.Out.Len(), reading.Gap)
	}
	if stuck.UntilExit(); stuck.Gap == 0 || uint64(stuck.Out.Len())+stuck.Gap != size || stuck.Out.Len() > 16<<20 {
		t.Fatalf("the other has %d bytes and lost %d", stuck.Out.Len(), stuck.Gap)
	}
}

func TestOutputIsHeldForTheFirstReader(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("head -c 3M /dev/zero", map[string]any{"holdMs": 60_000})
	if got := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+id+"?waitMs=300", nil).Body); !got.Running {
		t.Fatal("the command did not wait")
	}
	a := h.Attach(id, "")
	if a.UntilExit(); a.Out.Len() != 3<<20 || a.Gap != 0 {
		t.Fatalf("%d bytes, %d lost", a.Out.Len(), a.Gap)
	}
	short := h.Start("head -c 3M /dev/zero", map[string]any{"holdMs": 50})
	if got := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+short+"?waitMs=30000", nil).Body); got.Running || !got.Truncated {
		t.Fatal("a command waits for a reader that never comes")
	}
}

func TestManyReadersGetEverything(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("read go; seq 1 20000", nil)
	readers := make([]*agenttest.Stream, 100)
	for i := range readers {
		readers[i] = h.Attach(id, "")
	}
	readers[0].Write("go\n")
	for i, a := range readers {
		if a.UntilExit(); a.Out.Len() != 108_894 || a.Gap != 0 {
			t.Fatalf("reader %d: %d bytes, %d lost", i, a.Out.Len(), a.Gap)
		}
	}
}

func TestInputIsAcceptedOnce(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("cat", nil)
	a := h.Attach(id, "?client=me")
	a.Write("first ")
	a.Until("accepted", func() bool { return a.Accepted == 6 })
	b := h.Attach(id, "?client=me&from=end")
	if b.Accepted != 6 {
		t.Fatalf("the client's second connection begins with %d", b.Accepted)
	}
	b.Write("second")
	b.Until("accepted", func() bool { return b.Accepted == 12 })
	a.Write("again") // an old connection may not write any more
	other := h.Attach(id, "")
	other.Send(agenttest.InputEndFrame, nil)
	if other.UntilExit(); other.Out.String() != "first second" {
		t.Fatalf("the command got %q", other.Out.String())
	}
}

func TestInputThatNobodyReadsIsBounded(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("sleep 1000", nil)
	a := h.Attach(id, "")
	go func() {
		chunk := make([]byte, 32<<10)
		for {
			if _, err := a.Input.Write(agenttest.EncodeFrame(agenttest.InputFrame, chunk)); err != nil {
				return
			}
		}
	}()
	const queue, pipe = 256 << 10, 64 << 10
	a.Until("the queue is full", func() bool { return a.Accepted >= queue })
	if a.Accepted > queue+agenttest.MaxFrame+pipe {
		t.Fatalf("%d bytes are accepted", a.Accepted)
	}
	h.Want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 9})
	if code := a.UntilExit(); code != 137 {
		t.Fatalf("exit %d", code)
	}
}

func TestFramesOfTheHost(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("cat", nil)
	a := h.Attach(id, "")
	a.Send(agenttest.InputFrame, nil)
	a.Send(99, []byte("what is this"))
	a.Send(agenttest.TakenFrame, []byte{1})
	a.Send(agenttest.TakenFrame, binary.BigEndian.AppendUint64(nil, 1<<60))
	a.Write("still here")
	a.Until("the echo", func() bool { return a.Out.String() == "still here" })

	broken := h.Attach(id, "?from=end")
	broken.Input.Write(binary.BigEndian.AppendUint32([]byte{agenttest.InputFrame}, agenttest.MaxFrame+1))
	for broken.Next() {
	}
	cut := h.Attach(id, "?from=end")
	cut.Input.Write([]byte{agenttest.InputFrame, 0, 0, 0, 9, 'x'})
	cut.Close()
	if broken.Exit != nil || !agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+id, nil).Body).Running {
		t.Fatal("a broken frame ended the command")
	}
	a.Write(".")
	a.Send(agenttest.InputEndFrame, nil)
	if a.UntilExit(); a.Out.String() != "still here." {
		t.Fatalf("the command printed %q", a.Out.String())
	}
}

func TestQuiesceEndsStreamsAndSessionsGoOn(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("while read -r line; do echo $line; done", nil)
	a := h.Attach(id, "?client=c")
	a.Write("before\n")
	a.Until("the echo", func() bool { return a.Out.String() == "before\n" })
	h.Want(200, "POST", "/v1/quiesce", "{}")
	for a.Next() {
	}
	if a.Exit != nil {
		t.Fatal("the command ended")
	}
	h.Reconnect()
	h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"second"}`)
	b := h.Attach(id, fmt.Sprintf("?client=c&from=%d", a.Offset))
	b.Write("after\n")
	b.Until("the echo", func() bool { return b.Out.String() == "after\n" })
}

func TestAloneAfterTheLastReaderHasLeft(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("sleep 1000", map[string]any{"maxRunAfterDisconnectMs": 400})
	a := h.Attach(id, "")
	a.Close()
	back := h.Attach(id, "")
	if got := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+id+"?waitMs=800", nil).Body); !got.Running {
		t.Fatal("killed although a reader is there")
	}
	back.Close()
	got := agenttest.Decode[agenttest.Result](t, h.Want(200, "GET", "/v1/exec/"+id+"?waitMs=60000", nil).Body)
	got.WantExit(t, 137)
}

func TestListTellsWhatSessionsAre(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("cat", nil)
	h.Attach(id, "")
	list := agenttest.Decode[struct {
		Sessions []struct {
			ID, Kind   string
			Stdin, TTY bool
			Attached   int
		}
	}](t, h.Want(200, "GET", "/v1/exec", nil).Body).Sessions
	if len(list) != 1 || list[0].ID != id || list[0].Kind != "session" || !list[0].Stdin || list[0].TTY || list[0].Attached != 1 {
		t.Fatalf("%+v", list)
	}
}

func TestChildThatKeepsThePipesOpenDoesNotHoldTheExit(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	a := h.Attach(h.Start("sleep 1000 & echo started", nil), "")
	if code := a.UntilExit(); code != 0 || a.Out.String() != "started\n" {
		t.Fatalf("exit %d, %q", code, a.Out.String())
	}
}

func TestCommandThatIgnoresSIGTERM(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	id := h.Start("trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo ready; while :; do sleep 0.1; done", nil)
	a := h.Attach(id, "")
	a.Until("ready", func() bool { return a.Out.String() == "ready\n" })
	h.Want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 15})
	h.Want(200, "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 9})
	if code := a.UntilExit(); code != 137 {
		t.Fatalf("exit %d", code)
	}
	h.Refused(409, "ended", "POST", "/v1/exec/"+id+"/signal", map[string]int{"signal": 15})
}

// A command that gets input faster than it reads, and whose output has filled the
// ring, goes on once the host acknowledges the output.
func TestOutputIsTakenWhileInputWaits(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	const size = 4 << 20
	id := h.Start("exec cat", map[string]any{"bufferBytes": 64 << 10, "holdMs": 10_000})
	a := h.Attach(id, "")
	const piece, framesAhead = 64 << 10, 4
	sent := 0
	send := func() {
		for sent < size && sent < int(a.Accepted)+framesAhead*piece {
			a.Send(agenttest.InputFrame, make([]byte, piece))
			sent += piece
		}
	}
	send()
	for acknowledged := uint64(0); a.Out.Len() < size; {
		if !a.Next() {
			t.Fatalf("the stream ended after %d bytes", a.Out.Len())
		}
		if a.Offset > acknowledged {
			acknowledged = a.Offset
			a.Send(agenttest.TakenFrame, binary.BigEndian.AppendUint64(nil, acknowledged))
		}
		send()
	}
	if a.Gap != 0 {
		t.Fatalf("%d bytes are lost", a.Gap)
	}
}
