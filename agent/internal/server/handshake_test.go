package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
	"opencomputer.dev/agent/internal/identity"
)

func TestHandshakeComesFirst(t *testing.T) {
	h := agenttest.NewHost(t)
	h.Refused(412, "handshake_required", "GET", "/v1/stats", nil)
	got := h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"e-1","unknown":{"x":[1]}}`)
	shake := agenttest.Decode[struct {
		Protocol, Generation         int
		Version, Epoch, BootID, Init string
		UptimeMs, AgentUptimeMs      *int64
		MemoryBytes                  uint64
	}](t, got.Body)
	if shake.Protocol != 1 || shake.Generation != 4 || shake.Epoch != "e-1" || shake.Init != "systemd" ||
		len(shake.BootID) != 36 || *shake.UptimeMs <= 0 ||
		*shake.AgentUptimeMs < 0 || *shake.AgentUptimeMs > *shake.UptimeMs || shake.MemoryBytes == 0 || shake.Version == "" {
		t.Fatalf("handshake answered %s", got.Body)
	}
	if epoch := h.Want(200, "GET", "/v1/stats", nil).Header.Get("x-epoch"); epoch != "e-1" {
		t.Fatalf("x-epoch is %q", epoch)
	}
	h.Reconnect()
	h.Refused(412, "handshake_required", "GET", "/v1/stats", nil)
}

func TestHandshakeRefusals(t *testing.T) {
	h := agenttest.NewHost(t)
	for body, code := range map[string]string{
		`{"protocol":2,"epoch":"e"}`:                                                            "unsupported_protocol",
		`{"protocol":1,"epoch":""}`:                                                             "invalid_request",
		`{"protocol":1,"epoch":"` + strings.Repeat("e", 65) + `"}`:                              "invalid_request",
		`{"protocol":1,"epoch":"a\r\nb"}`:                                                       "invalid_request",
		`{"protocol":1,`:                                                                        "invalid_request",
		`{"protocol":1,"epoch":"e","identity":{"clockUnixNs":"soon"}}`:                          "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"clockUnixNs":"-5"}}`:                            "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"entropy":"AAAA"}}`:                              "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"hostname":"a b"}}`:                              "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"hostname":"-x"}}`:                               "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"machineId":"xyz"}}`:                             "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"machineId":"` + strings.Repeat("A", 32) + `"}}`: "invalid_identity",
		`{"protocol":1,"epoch":"e","identity":{"env":{"":"x"}}}`:                                "invalid_request",
		`{"protocol":1,"epoch":"e","identity":{"env":{"A=B":"x"}}}`:                             "invalid_request",
		`{"protocol":1,"epoch":"e","identity":{"env":{"A":"\u0000"}}}`:                          "invalid_request",
	} {
		h.Refused(400, code, "POST", "/v1/handshake", body)
	}
	h.Refused(412, "handshake_required", "GET", "/v1/stats", nil)
	h.Refused(405, "method_not_allowed", "GET", "/v1/handshake", nil)
}

// recordedMachine stands for the kernel, which a test must not change.
type recordedMachine struct {
	clock    int64
	entropy  []byte
	hostname string
	order    []string
}

func (m *recordedMachine) SetClock(ns int64) error {
	m.clock, m.order = ns, append(m.order, "clock")
	return nil
}

func (m *recordedMachine) AddEntropy(bytes []byte) error {
	m.entropy, m.order = bytes, append(m.order, "entropy")
	return nil
}

func (m *recordedMachine) RenewBootID() error {
	m.order = append(m.order, "boot id")
	return nil
}

func (m *recordedMachine) SetHostname(name string) error {
	m.hostname, m.order = name, append(m.order, "hostname")
	return nil
}

func TestIdentityIsAppliedBeforeTheAnswer(t *testing.T) {
	root := t.TempDir()
	etc := filepath.Join(root, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	agenttest.WriteFile(t, etc+"/hosts", "127.0.0.1 localhost\n127.0.1.1 old-name-that-is-longer old\n# end\n")
	agenttest.WriteFile(t, etc+"/hostname", "old-name-that-is-longer\n")
	kernel := &recordedMachine{}
	h := agenttest.NewHostOf(t, identity.New(kernel, root))
	entropy := strings.Repeat("QUFB", 16)
	h.Want(200, "POST", "/v1/handshake", map[string]any{"protocol": 1, "epoch": "e", "identity": map[string]any{
		"clockUnixNs": "1700000000123456789", "entropy": entropy, "hostname": "sb-1",
		"machineId": "00112233445566778899aabbccddeeff", "env": map[string]string{"KEY": "one"},
	}})
	if kernel.clock != 1700000000123456789 || len(kernel.entropy) != 48 || kernel.hostname != "sb-1" ||
		strings.Join(kernel.order, " ") != "clock entropy hostname" {
		t.Fatalf("kernel got %+v", kernel)
	}
	for name, want := range map[string]string{
		"hostname":   "sb-1\n",
		"hosts":      "127.0.0.1 localhost\n127.0.1.1\tsb-1\n# end\n",
		"machine-id": "00112233445566778899aabbccddeeff\n",
	} {
		if got, err := os.ReadFile(filepath.Join(etc, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	// A later identity replaces the environment, and a file that cannot be written
	// does not keep the machine from waking.
	os.Remove(etc + "/hostname")
	if err := os.Mkdir(etc+"/hostname", 0o755); err != nil {
		t.Fatal(err)
	}
	got := h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"e2","identity":{"hostname":"sb-2","env":{"OTHER":"two"}}}`)
	warnings := agenttest.Decode[struct{ Warnings []string }](t, got.Body).Warnings
	if len(warnings) != 1 || !strings.Contains(warnings[0], "hostname") {
		t.Errorf("warnings %q, want one about hostname", warnings)
	}
	if out := string(h.Shell("echo $KEY,$OTHER").Stdout); out != ",two\n" {
		t.Errorf("environment after the second identity: %q", out)
	}
}
