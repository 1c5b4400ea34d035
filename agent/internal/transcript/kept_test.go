package transcript

import (
	"bytes"
	"errors"
	"testing"
)

func readKept(t *testing.T, kept *Kept, stream Stream) string {
	t.Helper()
	var got bytes.Buffer
	err := kept.Each(stream, make([]byte, 7), func(piece []byte) error {
		got.Write(piece)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestKeptIsWhatWasThereAtItsMoment(t *testing.T) {
	printed := New(1<<10, NewBudget(1<<20), 0)
	printed.Add(Stdout, []byte("one "))
	printed.Add(Stderr, []byte("bad "))
	printed.Add(Stdout, []byte("two, and more than one piece"))
	kept := printed.Kept()
	printed.Add(Stdout, []byte("later"))
	if out, errs := readKept(t, kept, Stdout), readKept(t, kept, Stderr); out != "one two, and more than one piece" || errs != "bad " {
		t.Errorf("stdout %q, stderr %q", out, errs)
	}
	if kept.Truncated() {
		t.Error("nothing is missing")
	}
}

func TestKeptTellsWhatIsDroppedWhileItIsRead(t *testing.T) {
	for _, drop := range []struct {
		name string
		do   func(*Transcript)
		want string
	}{
		{"by more output", func(p *Transcript) { p.Add(Stdout, []byte("56789")) }, "01201234"},
		{"by much more output", func(p *Transcript) { p.Add(Stdout, make([]byte, 100)) }, "012"},
		{"by the end of its session", (*Transcript).Discard, "012"},
	} {
		t.Run(drop.name, func(t *testing.T) {
			printed := New(10, NewBudget(1<<20), 0)
			printed.Add(Stdout, []byte("0123401234"))
			kept := printed.Kept()
			var got []byte
			err := kept.Each(Stdout, make([]byte, 3), func(piece []byte) error {
				if got = append(got, piece...); len(got) == 3 {
					drop.do(printed)
				}
				return nil
			})
			if err != nil || string(got) != drop.want || !kept.Truncated() {
				t.Errorf("%q (%v), truncated %v; want %q", got, err, kept.Truncated(), drop.want)
			}
		})
	}
}

func TestKeptStopsWhereTheReaderFails(t *testing.T) {
	printed := New(1<<10, NewBudget(1<<20), 0)
	printed.Add(Stdout, []byte("some bytes in pieces"))
	gone, calls := errors.New("gone"), 0
	err := printed.Kept().Each(Stdout, make([]byte, 3), func([]byte) error {
		calls++
		return gone
	})
	if !errors.Is(err, gone) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
