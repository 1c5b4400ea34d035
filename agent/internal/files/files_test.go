package files_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/agenttest"
	"opencomputer.dev/agent/internal/wire"
)

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
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	syscall.Mkfifo(directory+"/fifo", 0o644)
	os.Symlink("loop", directory+"/loop")
	agenttest.WriteFile(t, directory+"/file", "x")
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
		h.Refused(test.status, test.code, "GET", "/v1/files?"+agenttest.PathQuery(test.path), nil)
	}
	h.Refused(405, "method_not_allowed", "POST", "/v1/files", nil)
}

func TestFileRead(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	path := filepath.Join(t.TempDir(), "f \xff")
	const copySize = 512 << 10 // the size of the pieces in which files are read
	for _, size := range []int{0, 1, copySize - 1, copySize, copySize + 1, 3*copySize + 5} {
		content := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		agenttest.WriteFile(t, path, string(content))
		got := h.Want(200, "GET", "/v1/files?"+agenttest.PathQuery(path), nil)
		if !bytes.Equal(got.Body, content) || got.Header.Get("content-length") != fmt.Sprint(size) {
			t.Errorf("size %d: got %d bytes, content-length %q", size, len(got.Body), got.Header.Get("content-length"))
		}
	}
	// Files whose size is unknown.
	if got := h.Want(200, "GET", "/v1/files?path=/proc/self/status", nil); !bytes.Contains(got.Body, []byte("VmRSS")) {
		t.Errorf("/proc/self/status: %q", got.Body)
	}
	if got := h.Want(200, "GET", "/v1/files?path=/sys/kernel/mm/transparent_hugepage/enabled", nil); !bytes.HasSuffix(got.Body, []byte("\n")) {
		t.Errorf("a file of sysfs: %q", got.Body)
	}
}

func TestFileWrite(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	path := directory + "/new/deep/file"
	h.Want(204, "PUT", "/v1/files?mode=0750&length=5&"+agenttest.PathQuery(path), "hello")
	for name, want := range map[string]string{
		"/new": "0755 1000 1000 directory true", "/new/deep": "0755 1000 1000 directory true", "/new/deep/file": "0750 1000 1000 file false",
	} {
		entry := agenttest.Decode[fileEntry](t, h.Want(200, "GET", "/v1/files/stat?"+agenttest.PathQuery(directory+name), nil).Body)
		if got := fmt.Sprint(entry.Mode, " ", entry.UID, " ", entry.GID, " ", entry.Type, " ", entry.IsDir); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	// An existing file keeps owner and mode; a link to it stays a link.
	os.Chown(path, 33, 34)
	os.Chmod(path, 0o600)
	link := directory + "/link"
	os.Symlink("new/../new/deep/file", link)
	h.Want(204, "PUT", "/v1/files?mode=0777&"+agenttest.PathQuery(link), "again")
	entry := agenttest.Decode[fileEntry](t, h.Want(200, "GET", "/v1/files/stat?"+agenttest.PathQuery(path), nil).Body)
	if entry.Mode != "0600" || entry.UID != 33 || entry.GID != 34 || entry.Size != 5 {
		t.Errorf("existing file became %+v", entry)
	}
	if entry := agenttest.Decode[fileEntry](t, h.Want(200, "GET", "/v1/files/stat?"+agenttest.PathQuery(link), nil).Body); entry.Type != "symlink" || entry.IsDir {
		t.Errorf("link became %+v", entry)
	}
	dangling := directory + "/dangling"
	os.Symlink("made", dangling)
	h.Want(204, "PUT", "/v1/files?"+agenttest.PathQuery(dangling), "")
	if got, err := os.ReadFile(directory + "/made"); err != nil || len(got) != 0 {
		t.Errorf("through a dangling link: %q, %v", got, err)
	}
	h.Want(204, "PUT", "/v1/files?path=/dev/null", "gone")
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
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	file := directory + "/file"
	agenttest.WriteFile(t, file, "old")
	syscall.Mkfifo(directory+"/fifo", 0o644)
	os.Symlink("loop", directory+"/loop")
	h.Refused(409, "is_directory", "PUT", "/v1/files?"+agenttest.PathQuery(directory), "x")
	h.Refused(409, "is_directory", "PUT", "/v1/files?"+agenttest.PathQuery(directory+"/new/"), "x")
	h.Refused(409, "not_directory", "PUT", "/v1/files?"+agenttest.PathQuery(file+"/below"), "x")
	h.Refused(409, "not_regular", "PUT", "/v1/files?"+agenttest.PathQuery(directory+"/fifo"), "x")
	h.Refused(400, "invalid_path", "PUT", "/v1/files?"+agenttest.PathQuery(directory+"/loop"), "x")
	h.Refused(400, "invalid_request", "PUT", "/v1/files?mode=99&"+agenttest.PathQuery(file), "x")
	h.Refused(400, "invalid_request", "PUT", "/v1/files?length=-1&"+agenttest.PathQuery(file), "x")
	h.Refused(400, "length_mismatch", "PUT", "/v1/files?length=4&"+agenttest.PathQuery(file), "abc")
	h.Refused(400, "length_mismatch", "PUT", "/v1/files?length=4&"+agenttest.PathQuery(file), io.MultiReader(strings.NewReader("abc")))
	h.Refused(400, "length_mismatch", "PUT", "/v1/files?length=2&"+agenttest.PathQuery(file), io.MultiReader(strings.NewReader("abc")))
	h.Refused(507, "no_space", "PUT", "/v1/files?path=/dev/full", "x")
	if got, _ := os.ReadFile(file); string(got) != "old" {
		t.Errorf("file is %q", got)
	}
	if got := names(t, directory); len(got) != 3 {
		t.Errorf("left behind: %q", got)
	}
}

func TestCutOffUploadLeavesTheOldFile(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	file := directory + "/file"
	agenttest.WriteFile(t, file, "old")
	for range 2 {
		body := agenttest.NewStuckBody(strings.Repeat("new", 100_000))
		body.Err = io.ErrUnexpectedEOF // makes the client reset the stream
		request, err := http.NewRequest("PUT", "http://agent/v1/files?"+agenttest.PathQuery(file), body)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			if response, err := h.Client.Do(request); err == nil {
				response.Body.Close()
			}
			close(done)
		}()
		<-body.Sent
		if !agenttest.WaitUntil(func() bool { return openBelow(t, directory) > 0 }) {
			t.Fatal("the upload has not begun")
		}
		body.Close()
		<-done
		if !agenttest.WaitUntil(func() bool { return openBelow(t, directory) == 0 }) {
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

// openBelow counts the files in a directory that this process, which includes the
// agent, has open, with or without a name.
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
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	path := t.TempDir() + "/large"
	const size = 256 << 20
	piece := make([]byte, 1<<20)
	for i := range piece {
		piece[i] = byte(i * 7 >> 3)
	}
	sent, received := sha256.New(), sha256.New()
	source := io.TeeReader(io.LimitReader(&repeated{piece: piece}, size), sent)
	h.Want(204, "PUT", fmt.Sprintf("/v1/files?length=%d&%s", size, agenttest.PathQuery(path)), source)
	response, err := h.Client.Get("http://agent/v1/files?" + agenttest.PathQuery(path))
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
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	agenttest.WriteFile(t, directory+"/b\xff\"\n", "xyz")
	os.Mkdir(directory+"/a", 0o700)
	os.Symlink("a", directory+"/c")
	os.Symlink("nowhere", directory+"/d")
	syscall.Mkfifo(directory+"/e", 0o600)
	list := func(path string) ([]fileEntry, bool) {
		got := agenttest.Decode[struct {
			Entries   []fileEntry
			Truncated bool
		}](t, h.Want(200, "GET", "/v1/files/list?"+agenttest.PathQuery(path), nil).Body)
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
	h.Refused(404, "not_found", "GET", "/v1/files/list?"+agenttest.PathQuery(directory+"/missing"), nil)
	h.Refused(409, "not_directory", "GET", "/v1/files/list?"+agenttest.PathQuery(directory+"/e"), nil)
	if entries, _ := list("/proc/self/fd"); len(entries) < 3 {
		t.Errorf("/proc/self/fd: %v", entries)
	}
}

func TestListInLines(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	for _, name := range []string{"[{}]", "a\n\"{", "b\xff", strings.Repeat("\x01", 255)} {
		agenttest.WriteFile(t, directory+"/"+name, "xyz")
	}
	os.Mkdir(directory+"/d", 0o700)
	lines := h.Lines("/v1/files/list?" + agenttest.PathQuery(directory))
	if first, last := lines[0], lines[len(lines)-1]; first != `{"truncated":false}` || last != `{"end":true}` {
		t.Errorf("from %s to %s", first, last)
	}
	var got []string
	for _, line := range lines[1 : len(lines)-1] {
		if len(line) > 4096 || strings.LastIndexByte(line, '{') != 0 || strings.Contains(line, "[") {
			t.Errorf("costly for the host: %s", line)
		}
		entry := agenttest.Decode[fileEntry](t, []byte(line))
		got = append(got, fmt.Sprint(entry.Name, " ", entry.Path, entry.Type, " ", entry.Size > 0, " ", entry.Mode))
	}
	want := []string{
		strings.Repeat("\x01", 255) + " file true 0644", "[{}] file true 0644", "a\n\"{ file true 0644",
		"b\ufffd file true 0644", "d directory true 0700",
	}
	if !slices.Equal(got, want) {
		t.Errorf("list\n%q, want\n%q", got, want)
	}
	if lines := h.Lines("/v1/files/list?" + agenttest.PathQuery(directory+"/d")); len(lines) != 2 {
		t.Errorf("empty directory: %q", lines)
	}
}

func TestMakeDirectory(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	for range 2 {
		h.Want(204, "POST", "/v1/files/mkdir?"+agenttest.PathQuery(directory+"/x/y"), nil)
	}
	if info, err := os.Stat(directory + "/x"); err != nil || info.Sys().(*syscall.Stat_t).Uid != account.SandboxID {
		t.Errorf("parent: %+v, %v", info, err)
	}
	agenttest.WriteFile(t, directory+"/file", "")
	h.Refused(409, "not_directory", "POST", "/v1/files/mkdir?"+agenttest.PathQuery(directory+"/file"), nil)
	h.Refused(409, "not_directory", "POST", "/v1/files/mkdir?"+agenttest.PathQuery(directory+"/file/x"), nil)
	h.Refused(400, "invalid_path", "POST", "/v1/files/mkdir?path=x", nil)
}

func TestDelete(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	for _, path := range []string{"/", "//", "/proc", "/proc/", "/tmp/../sys", "/dev/.", "/run"} {
		h.Refused(403, "not_permitted", "DELETE", "/v1/files?"+agenttest.PathQuery(path), nil)
	}
	os.Symlink("/", directory+"/root")
	h.Refused(403, "not_permitted", "DELETE", "/v1/files?"+agenttest.PathQuery(directory+"/root/proc"), nil)
	h.Want(204, "DELETE", "/v1/files?"+agenttest.PathQuery(directory+"/root"), nil)
	h.Want(204, "DELETE", "/v1/files?"+agenttest.PathQuery(directory+"/missing/more"), nil)
	agenttest.WriteFile(t, directory+"/kept", "x")
	os.MkdirAll(directory+"/tree/a/b", 0o755)
	os.Symlink("../../kept", directory+"/tree/a/link")
	for i := range 1000 { // more than are deleted at a time
		agenttest.WriteFile(t, fmt.Sprintf("%s/tree/a/b/%d", directory, i), "")
	}
	h.Want(204, "DELETE", "/v1/files?"+agenttest.PathQuery(directory+"/tree"), nil)
	if got := names(t, directory); len(got) != 1 || got[0] != "kept" {
		t.Errorf("left: %q", got)
	}
}

func TestDeleteDeepTree(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
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
	h.Want(204, "DELETE", "/v1/files?"+agenttest.PathQuery(directory+"/d"), nil)
	if got := names(t, directory); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestDeleteStopsAtMounts(t *testing.T) {
	agenttest.NeedRoot(t)
	h := agenttest.NewReadyHost(t)
	directory := t.TempDir()
	mount := directory + "/tree/mount"
	os.MkdirAll(mount, 0o755)
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer syscall.Unmount(mount, 0)
	agenttest.WriteFile(t, mount+"/precious", "x")
	h.Refused(403, "not_permitted", "DELETE", "/v1/files?"+agenttest.PathQuery(directory+"/tree"), nil)
	if got := names(t, mount); len(got) != 1 {
		t.Error("what was mounted is gone")
	}
}
