package account

import (
	"fmt"
	"reflect"
	"testing"
)

func TestParseAccount(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/bash\nbroken\nsandbox:x:1234:1235:a,b:/home/s:/bin/zsh\n"
	group := "root:x:0:\nsudo:x:27:admin,sandbox\ndocker:x:99:sandbox\nbad:x:no:sandbox\nsandboxes:x:5:sandbox2\n"
	got := parse("sandbox", passwd, group)
	if text := fmt.Sprint(*got); text != "{sandbox 1234 1235 [1235 27 99] /home/s}" {
		t.Errorf("account %s", text)
	}
	if got := parse("sandbox", "", ""); got.UID != SandboxID || got.Home != "/home/sandbox" {
		t.Errorf("without a passwd file: %+v", got)
	}
	if got := parse("bob", passwd, group); got != nil {
		t.Errorf("unknown user: %+v", got)
	}
}

func TestParseEnvironment(t *testing.T) {
	got := parseEnvironment("# c\nA=1\nexport B=\"two words\"\nC='x'\nbad line\n=x\n  D = y\n#E=1\nF=\n")
	want := map[string]string{"A": "1", "B": "two words", "C": "x", "D ": " y", "F": ""}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("environment %q, want %q", got, want)
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add("sandbox:x:1000:1000:,,,:/home/sandbox:/bin/bash\n", "sudo:x:27:sandbox\n")
	f.Fuzz(func(t *testing.T, passwd, group string) {
		if found := parse(Sandbox, passwd, group); found == nil || len(found.Groups) == 0 {
			t.Fatal("no account for the sandbox user")
		}
		parseEnvironment(passwd)
	})
}
