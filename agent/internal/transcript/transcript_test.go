package transcript

import (
	"bytes"
	"testing"
	"time"
)

func TestStalledReaderIsNotWaitedForForEver(t *testing.T) {
	const size = 8 << 20
	printed := New(1<<20, NewBudget(1<<30), 0)
	printed.stall = 50 * time.Millisecond
	reader, ok := printed.Attach(0, false, false)
	if !ok {
		t.Fatal("cannot attach at the beginning")
	}
	added := make(chan struct{})
	go func() {
		defer close(added)
		for range size / (64 << 10) {
			printed.Add(Stdout, make([]byte, 64<<10))
		}
		printed.Finish()
	}()
	select {
	case <-added:
	case <-time.After(time.Minute):
		t.Fatal("the command waits for a reader that takes nothing")
	}
	var got, gap uint64
	for buffer := make([]byte, 32<<10); ; {
		next := printed.Read(reader, buffer)
		got, gap = got+uint64(next.Count), gap+next.Gap
		if next.Final {
			break
		}
	}
	if gap == 0 || got == 0 || got+gap != size {
		t.Fatalf("%d bytes, %d lost", got, gap)
	}
}

func TestCommandIsHeldForItsOnlyReader(t *testing.T) {
	const limit = 64 << 10
	printed := New(limit, NewBudget(1<<30), 0)
	reader, _ := printed.Attach(0, false, true)
	var want, got bytes.Buffer
	for i := range 4 * limit {
		want.WriteByte(byte(i >> 3))
	}
	go func() {
		printed.Add(Stderr, want.Bytes())
		printed.Finish()
	}()
	for buffer := make([]byte, 10_000); ; {
		next := printed.Read(reader, buffer)
		if next.Gap > 0 || next.Final {
			break
		}
		if next.Count == 0 {
			<-reader.Woken()
			continue
		}
		got.Write(buffer[:next.Count])
		printed.Acknowledge(reader, reader.Offset())
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("%d bytes of %d arrived", got.Len(), want.Len())
	}
}
