package logs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/agenttest"
)

type logLine struct {
	Time, Source, Line, Path, ExecID, Command string
	ExitCode                                  *int
}

func logsOf(t *testing.T, h *agenttest.Host, query string) (lines []logLine) {
	t.Helper()
	for text := range strings.Lines(string(h.Want(200, "GET", "/v1/logs?tail=false&"+query, nil).Body)) {
		if strings.TrimSpace(text) != "" {
			lines = append(lines, agenttest.Decode[logLine](t, []byte(text)))
		}
	}
	return lines
}

func TestLogsSayNothingOfAnUnloggedCommand(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	script := "echo secret; echo secret >&2; printf secret; exit 3"
	ran := h.Exec(map[string]any{"argv": []string{"sh", "-c", script}, "unlogged": true})
	ran.WantExit(t, 3)
	if string(ran.Stdout) != "secret\nsecret" {
		t.Errorf("its output is %q", ran.Stdout)
	}
	h.Shell("echo after")
	for _, line := range logsOf(t, h, "source=exec_stdout,exec_stderr,agent") {
		if strings.Contains(line.Line, "secret") || line.ExecID == ran.ID {
			t.Errorf("%+v", line)
		}
	}
	if found := logsOf(t, h, "q=after&source=exec_stdout"); len(found) != 1 {
		t.Errorf("%+v", found)
	}
}

func TestLogsOfCommands(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	ran := h.Shell("echo one; echo two >&2; printf 'no line feed'; exit 3")
	h.Shell("echo other")
	lines := logsOf(t, h, "source=exec_stdout,exec_stderr,agent")
	texts := make(map[string]logLine)
	for _, line := range lines {
		texts[line.Line] = line
		if _, err := time.Parse(time.RFC3339Nano, line.Time); err != nil {
			t.Error(err)
		}
	}
	if line := texts["one"]; line.Source != "exec_stdout" || line.ExecID != ran.ID || line.Command != "sh" {
		t.Errorf("%+v", line)
	}
	if texts["two"].Source != "exec_stderr" || texts["no line feed"].ExecID != ran.ID {
		t.Errorf("%+v", lines)
	}
	if only := logsOf(t, h, "source=exec_stderr"); len(only) != 1 || only[0].Line != "two" {
		t.Errorf("%+v", only)
	}
	if found := logsOf(t, h, "q=othe&source=exec_stdout"); len(found) != 1 || found[0].Line != "other" {
		t.Errorf("%+v", found)
	}
	if last := logsOf(t, h, "limit=1&source=exec_stdout"); len(last) != 1 || last[0].Line != "other" {
		t.Errorf("%+v", last)
	}
	ended := false
	for _, line := range logsOf(t, h, "source=agent") {
		ended = ended || line.ExecID == ran.ID && line.ExitCode != nil && *line.ExitCode == 3
	}
	if !ended {
		t.Error("the end of the command is not in the logs")
	}
	if later := logsOf(t, h, "source=exec_stdout&since="+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)); len(later) != 0 {
		t.Errorf("%+v", later)
	}
	for _, query := range []string{"limit=0", "limit=10001", "source=x", "since=yesterday", "tail=maybe", "q=" + strings.Repeat("x", 2000)} {
		h.Refused(400, "invalid_request", "GET", "/v1/logs?"+query, nil)
	}
}

func TestLogsAreFollowed(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://agent/v1/logs?source=exec_stdout", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := h.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	h.Shell("echo followed")
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var line logLine
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Line == "followed" {
			h.Want(200, "POST", "/v1/quiesce", "{}")
			for lines.Scan() {
			}
			return // the quiesce has ended it
		}
	}
	t.Fatal("the line did not come")
}

func TestLogsOfALoudCommandSaySo(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	h.Shell("seq 1 1000000")
	if marked := logsOf(t, h, "q=left+out"); len(marked) == 0 {
		t.Error("nothing says that output was left out")
	}
}
