package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/wire"
)

// stuckBody sends some bytes and then nothing until it is released.
type stuckBody struct {
	first   io.Reader
	sent    chan struct{}
	release chan struct{}
	once    sync.Once
	err     error // what ends the body; io.EOF for a clean end
}

func newStuckBody(first string) *stuckBody {
	return &stuckBody{first: strings.NewReader(first), sent: make(chan struct{}), release: make(chan struct{}), err: io.EOF}
}

// Close is what the client calls when the answer comes before the body's end.
func (b *stuckBody) Close() error {
	b.once.Do(func() { close(b.release) })
	return nil
}

func (b *stuckBody) Read(into []byte) (int, error) {
	if count, _ := b.first.Read(into); count > 0 {
		return count, nil
	}
	select {
	case <-b.sent:
	default:
		close(b.sent)
	}
	<-b.release
	return 0, b.err
}

func names(t *testing.T, directory string) []string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func TestFileReadRefusals(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	syscall.Mkfifo(directory+"/fifo", 0o644)
	os.Symlink("loop", directory+"/loop")
	writeTestFile(t, directory+"/file", "x")
	for _, test := range []struct {
		status     int
		code, path string
	}{
		{404, "not_found", directory + "/missing"},
		{409, "not_directory", directory + "/file/below"},
		{409, "is_directory", directory},
		{409, "not_regular", directory + "/fifo"},
		{409, "not_regular", "/dev/zero"},
		{400, "invalid_path", directory + "/loop"},
		{400, "invalid_path", "relative"},
		{400, "invalid_path", ""},
		{400, "invalid_path", "/nul\x00"},
		{400, "invalid_path", "/" + strings.Repeat("x", wire.MaxPath)},
		{400, "invalid_path", "/" + strings.Repeat("x", 300)},
	} {
		h.refused(test.status, test.code, "GET", "/v1/files?"+query(test.path), nil)
	}
	h.refused(405, "method_not_allowed", "POST", "/v1/files", nil)
}

func TestFileRead(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	path := filepath.Join(t.TempDir(), "f \xff")
	const copySize = 512 << 10 // in which files are read
	for _, size := range []int{0, 1, copySize - 1, copySize, copySize + 1, 3*copySize + 5} {
		content := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		writeTestFile(t, path, string(content))
		got := h.want(200, "GET", "/v1/files?"+query(path), nil)
		if !bytes.Equal(got.body, content) || got.header.Get("content-length") != fmt.Sprint(size) {
			t.Errorf("size %d: got %d bytes, content-length %q", size, len(got.body), got.header.Get("content-length"))
		}
	}
	// Files that do not know their size.
	if got := h.want(200, "GET", "/v1/files?path=/proc/self/status", nil); !bytes.Contains(got.body, []byte("VmRSS")) {
		t.Errorf("/proc/self/status: %q", got.body)
	}
	if got := h.want(200, "GET", "/v1/files?path=/sys/kernel/mm/transparent_hugepage/enabled", nil); !bytes.HasSuffix(got.body, []byte("\n")) {
		t.Errorf("a file of sysfs: %q", got.body)
	}
}

func TestFileWrite(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	path := directory + "/new/deep/file"
	h.want(204, "PUT", "/v1/files?mode=0750&length=5&"+query(path), "hello")
	for name, want := range map[string]string{
		"/new": "0755 1000 1000 directory true", "/new/deep": "0755 1000 1000 directory true", "/new/deep/file": "0750 1000 1000 file false",
	} {
		entry := decode[fileEntry](t, h.want(200, "GET", "/v1/files/stat?"+query(directory+name), nil).body)
		if got := fmt.Sprint(entry.Mode, " ", entry.UID, " ", entry.GID, " ", entry.Type, " ", entry.IsDir); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	// An existing file keeps owner and mode; a link to it stays a link.
	os.Chown(path, 33, 34)
	os.Chmod(path, 0o600)
	link := directory + "/link"
	os.Symlink("new/../new/deep/file", link)
	h.want(204, "PUT", "/v1/files?mode=0777&"+query(link), "again")
	entry := decode[fileEntry](t, h.want(200, "GET", "/v1/files/stat?"+query(path), nil).body)
	if entry.Mode != "0600" || entry.UID != 33 || entry.GID != 34 || entry.Size != 5 {
		t.Errorf("existing file became %+v", entry)
	}
	if entry := decode[fileEntry](t, h.want(200, "GET", "/v1/files/stat?"+query(link), nil).body); entry.Type != "symlink" || entry.IsDir {
		t.Errorf("link became %+v", entry)
	}
	dangling := directory + "/dangling"
	os.Symlink("made", dangling)
	h.want(204, "PUT", "/v1/files?"+query(dangling), "")
	if got, err := os.ReadFile(directory + "/made"); err != nil || len(got) != 0 {
		t.Errorf("through a dangling link: %q, %v", got, err)
	}
	h.want(204, "PUT", "/v1/files?path=/dev/null", "gone")
	if got := names(t, directory+"/new/deep"); len(got) != 1 {
		t.Errorf("left beside the file: %q", got)
	}
}

type fileEntry struct {
	Name, Path, Type, Mode, ModifiedAt string
	IsDir                              bool
	Size                               int64
	UID, GID                           int
}

func TestFileWriteRefusals(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	file := directory + "/file"
	writeTestFile(t, file, "old")
	syscall.Mkfifo(directory+"/fifo", 0o644)
	os.Symlink("loop", directory+"/loop")
	h.refused(409, "is_directory", "PUT", "/v1/files?"+query(directory), "x")
	h.refused(409, "is_directory", "PUT", "/v1/files?"+query(directory+"/new/"), "x")
	h.refused(409, "not_directory", "PUT", "/v1/files?"+query(file+"/below"), "x")
	h.refused(409, "not_regular", "PUT", "/v1/files?"+query(directory+"/fifo"), "x")
	h.refused(400, "invalid_path", "PUT", "/v1/files?"+query(directory+"/loop"), "x")
	h.refused(400, "invalid_request", "PUT", "/v1/files?mode=99&"+query(file), "x")
	h.refused(400, "invalid_request", "PUT", "/v1/files?length=-1&"+query(file), "x")
	h.refused(400, "length_mismatch", "PUT", "/v1/files?length=4&"+query(file), "abc")
	h.refused(400, "length_mismatch", "PUT", "/v1/files?length=4&"+query(file), io.MultiReader(strings.NewReader("abc")))
	h.refused(400, "length_mismatch", "PUT", "/v1/files?length=2&"+query(file), io.MultiReader(strings.NewReader("abc")))
	h.refused(507, "no_space", "PUT", "/v1/files?path=/dev/full", "x")
	if got, _ := os.ReadFile(file); string(got) != "old" {
		t.Errorf("file is %q", got)
	}
	if got := names(t, directory); len(got) != 3 {
		t.Errorf("left behind: %q", got)
	}
}

func TestCutOffUploadLeavesTheOldFile(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	file := directory + "/file"
	writeTestFile(t, file, "old")
	for range 2 {
		body := newStuckBody(strings.Repeat("new", 100_000))
		body.err = io.ErrUnexpectedEOF // makes the client reset the stream
		request, err := http.NewRequest("PUT", "http://agent/v1/files?"+query(file), body)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			if response, err := h.client.Do(request); err == nil {
				response.Body.Close()
			}
			close(done)
		}()
		<-body.sent
		if !waitUntil(func() bool { return openBelow(t, directory) > 0 }) {
			t.Fatal("the upload has not begun")
		}
		body.Close()
		<-done
		if !waitUntil(func() bool { return openBelow(t, directory) == 0 }) {
			t.Fatal("the upload goes on")
		}
		if got, _ := os.ReadFile(file); string(got) != "old" {
			t.Fatalf("file is %d bytes", len(got))
		}
		if got := names(t, directory); len(got) != 1 {
			t.Fatalf("left behind: %q", got)
		}
	}
}

// openBelow counts what this process, which is also the agent's, has open below
// a directory, names or not.
func openBelow(t *testing.T, directory string) (count int) {
	t.Helper()
	for _, descriptor := range names(t, "/proc/self/fd") {
		if target, err := os.Readlink("/proc/self/fd/" + descriptor); err == nil && strings.HasPrefix(target, directory+"/") {
			count++
		}
	}
	return count
}

func TestLargeFileThereAndBack(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	path := t.TempDir() + "/large"
	const size = 256 << 20
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i * 7 >> 3)
	}
	sent, received := sha256.New(), sha256.New()
	source := io.TeeReader(io.LimitReader(&repeated{piece: piece}, size), sent)
	h.want(204, "PUT", fmt.Sprintf("/v1/files?length=%d&%s", size, query(path)), source)
	response, err := h.client.Get("http://agent/v1/files?" + query(path))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if count, err := io.Copy(received, response.Body); err != nil || count != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Fatalf("%d bytes came back (%v), equal: %v", count, err, bytes.Equal(sent.Sum(nil), received.Sum(nil)))
	}
}

type repeated struct {
	piece  []byte
	offset int
}

func (r *repeated) Read(into []byte) (int, error) {
	count := copy(into, r.piece[r.offset:])
	r.offset = (r.offset + count) % len(r.piece)
	return count, nil
}

func TestList(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	writeTestFile(t, directory+"/b\xff\"\n", "xyz")
	os.Mkdir(directory+"/a", 0o700)
	os.Symlink("a", directory+"/c")
	os.Symlink("nowhere", directory+"/d")
	syscall.Mkfifo(directory+"/e", 0o600)
	list := func(path string) ([]fileEntry, bool) {
		got := decode[struct {
			Entries   []fileEntry
			Truncated bool
		}](t, h.want(200, "GET", "/v1/files/list?"+query(path), nil).body)
		if got.Entries == nil {
			t.Error("entries is null")
		}
		return got.Entries, got.Truncated
	}
	entries, _ := list(directory + "/")
	var lines []string
	for _, entry := range entries {
		lines = append(lines, fmt.Sprint(entry.Name, " ", entry.Type, " ", entry.IsDir, " ", entry.Mode, " ", strings.TrimPrefix(entry.Path, directory)))
	}
	want := "a directory true 0700 /a|b\ufffd\"\n file false 0644 /b\ufffd\"\n|c symlink true 0777 /c|d symlink false 0777 /d|e other false 0600 /e"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("list\n%q, want\n%q", got, want)
	}
	if entries, truncated := list(directory + "/a"); len(entries) != 0 || truncated {
		t.Errorf("empty directory: %v", entries)
	}
	h.refused(404, "not_found", "GET", "/v1/files/list?"+query(directory+"/missing"), nil)
	h.refused(409, "not_directory", "GET", "/v1/files/list?"+query(directory+"/e"), nil)
	if entries, _ := list("/proc/self/fd"); len(entries) < 3 {
		t.Errorf("/proc/self/fd: %v", entries)
	}
}

func TestMakeDirectory(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	for range 2 {
		h.want(204, "POST", "/v1/files/mkdir?"+query(directory+"/x/y"), nil)
	}
	if info, err := os.Stat(directory + "/x"); err != nil || info.Sys().(*syscall.Stat_t).Uid != account.SandboxID {
		t.Errorf("parent: %+v, %v", info, err)
	}
	writeTestFile(t, directory+"/file", "")
	h.refused(409, "not_directory", "POST", "/v1/files/mkdir?"+query(directory+"/file"), nil)
	h.refused(409, "not_directory", "POST", "/v1/files/mkdir?"+query(directory+"/file/x"), nil)
	h.refused(400, "invalid_path", "POST", "/v1/files/mkdir?path=x", nil)
}

func TestDelete(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	for _, path := range []string{"/", "//", "/proc", "/proc/", "/tmp/../sys", "/dev/.", "/run"} {
		h.refused(403, "not_permitted", "DELETE", "/v1/files?"+query(path), nil)
	}
	os.Symlink("/", directory+"/root")
	h.refused(403, "not_permitted", "DELETE", "/v1/files?"+query(directory+"/root/proc"), nil)
	h.want(204, "DELETE", "/v1/files?"+query(directory+"/root"), nil)
	h.want(204, "DELETE", "/v1/files?"+query(directory+"/missing/more"), nil)
	writeTestFile(t, directory+"/kept", "x")
	os.MkdirAll(directory+"/tree/a/b", 0o755)
	os.Symlink("../../kept", directory+"/tree/a/link")
	for i := range 1000 { // more than are deleted at a time
		writeTestFile(t, fmt.Sprintf("%s/tree/a/b/%d", directory, i), "")
	}
	h.want(204, "DELETE", "/v1/files?"+query(directory+"/tree"), nil)
	if got := names(t, directory); len(got) != 1 || got[0] != "kept" {
		t.Errorf("left: %q", got)
	}
}

func TestDeleteDeepTree(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	const depth = 3000
	fd, err := syscall.Open(directory, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := syscall.Mkdirat(fd, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := syscall.Openat(fd, "d", syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Close(fd)
		fd = next
	}
	syscall.Close(fd)
	h.want(204, "DELETE", "/v1/files?"+query(directory+"/d"), nil)
	if got := names(t, directory); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestDeleteStopsAtMounts(t *testing.T) {
	needRoot(t)
	h := newReadyHost(t)
	directory := t.TempDir()
	mount := directory + "/tree/mount"
	os.MkdirAll(mount, 0o755)
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer syscall.Unmount(mount, 0)
	writeTestFile(t, mount+"/precious", "x")
	h.refused(403, "not_permitted", "DELETE", "/v1/files?"+query(directory+"/tree"), nil)
	if got := names(t, mount); len(got) != 1 {
		t.Error("what was mounted is gone")
	}
}

func TestStats(t *testing.T) {
	h := newReadyHost(t)
	got := decode[stats](t, h.want(200, "GET", "/v1/stats", nil).body)
	if got.MemoryTotalBytes == 0 || got.MemoryAvailableBytes == 0 || got.MemoryAvailableBytes > got.MemoryTotalBytes ||
		got.DiskTotalBytes == 0 || got.DiskFreeBytes > got.DiskTotalBytes || got.Processes < 1 || got.UptimeMs <= 0 {
		t.Errorf("stats %+v", got)
	}
}
