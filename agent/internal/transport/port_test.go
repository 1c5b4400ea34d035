package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func frame(length int) string {
	return string([]byte{byte(length >> 16), byte(length >> 8), byte(length), 0, 0, 0, 0, 0, 1}) + strings.Repeat("P", length)
}

func TestFrameTrackerFindsTheSecondPreface(t *testing.T) {
	// A payload may hold a preface; only one between frames counts.
	inside := string([]byte{0, 0, byte(len(clientPreface)), 0, 0, 0, 0, 0, 1}) + clientPreface
	first := clientPreface + frame(0) + frame(300) + inside
	for step := 1; step < 64; step++ {
		tracker := frameTracker{}
		data, passed := first+clientPreface, 0
		for passed < len(data) {
			usable, found := tracker.scan([]byte(data[passed:min(len(data), passed+step)]))
			passed += usable
			if found {
				break
			}
		}
		if passed != len(first) {
			t.Fatalf("in steps of %d the second preface was found at %d, not at %d", step, passed, len(first))
		}
	}
}

// newTestPort is a listener on one end of a socket pair instead of a port.
func newTestPort(t *testing.T) (*portListener, *os.File) {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	listener := newPortListener("test", func() bool { return false })
	listener.file = os.NewFile(uintptr(ends[0]), "guest")
	host := os.NewFile(uintptr(ends[1]), "host")
	t.Cleanup(func() { host.Close() })
	return listener, host
}

func TestNewPrefaceIsNotEatenByTheOldSession(t *testing.T) {
	listener, host := newTestPort(t)
	first := clientPreface + frame(5000)
	second := clientPreface + frame(7)
	if _, err := host.WriteString(first + second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{first, second} {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
			t.Fatalf("read %d bytes (%v), want %d", len(got), err, len(want))
		}
		if want == first {
			if _, err := conn.Read(got); !errors.Is(err, io.EOF) {
				t.Fatalf("at the second preface the old session read on: %v", err)
			}
			if _, err := conn.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("the old session could still write: %v", err)
			}
		}
		conn.Close()
	}
}

func TestBytesAfterAHangUpBeginAConnection(t *testing.T) {
	listener, host := newTestPort(t)
	conn := &portConn{listener: listener, file: listener.file}
	listener.ended = make(chan struct{})
	conn.hungUp.Store(true)
	if _, err := host.WriteString(clientPreface); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	next, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	got := make([]byte, len(clientPreface))
	if _, err := io.ReadFull(next, got); err != nil || string(got) != clientPreface {
		t.Fatalf("the new connection began with %q (%v)", got, err)
	}
}

// A pipe whose writer has closed it, and which another opens then, behaves like a
// port whose bytes arrive before the event that the host has connected.
func TestBytesThatAreFasterThanTheHostBelongToItsConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "port")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	listener := newPortListener("test", func() bool { return true })
	listener.file = os.NewFile(uintptr(fd), path)
	early, late := clientPreface+frame(5), frame(7)
	if err := os.WriteFile(path, []byte(early), 0); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(early))); err != nil {
		t.Fatal(err)
	}
	opened := make(chan *os.File, 1)
	go func() {
		// Real time: the reader may be ahead or not, and both cases must work.
		time.Sleep(10 * time.Millisecond)
		host, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = host.WriteString(late)
		}
		if err != nil {
			t.Error(err)
		}
		opened <- host
	}()
	got := make([]byte, len(late))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != late {
		t.Fatalf("read %q (%v), want the second frame", got, err)
	}
	(<-opened).Close()
	if !conn.(*portConn).arrived {
		t.Error("a host that has been there is still waited for")
	}
	if _, err := conn.Read(got); !errors.Is(err, io.EOF) {
		t.Fatalf("the host has been there and is gone; reading says %v", err)
	}
}

func TestHangUpInMidFrameIsNoticedBeforeTheBytesEnd(t *testing.T) {
	listener, host := newTestPort(t)
	begin := clientPreface + frame(1 << 20)[:frameHeaderSize]
	if _, err := host.WriteString(begin + strings.Repeat("x", 100<<10)); err != nil {
		t.Fatal(err)
	}
	host.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	total := 0
	for buffer := make([]byte, portReadSize); ; {
		count, err := conn.Read(buffer)
		total += count
		if err != nil {
			break
		}
	}
	if total >= len(begin)+100<<10 {
		t.Errorf("read all %d bytes of a frame that could not be whole", total)
	}
}

func TestFindPort(t *testing.T) {
	root := t.TempDir()
	if _, err := findPort(root, "agent"); err == nil {
		t.Fatal("found a port where there is none")
	}
	for device, name := range map[string]string{"vport0p1": "other", "vport0p2": "agent"} {
		directory := filepath.Join(root, "sys/class/virtio-ports", device)
		if err := os.MkdirAll(directory, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(directory+"/name", []byte(name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := findPort(root, "agent"); err != nil || path != filepath.Join(root, "dev/vport0p2") {
		t.Fatalf("findPort: %s, %v", path, err)
	}
}
