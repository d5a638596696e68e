"""Small programs in each language: one call through the proxy, and a stream whose events' times they tell.

Each gets a URL as its argument and prints `{"arrivals": [milliseconds, …]}`, or ends with an error.
"""

PYTHON_HEAD = """
import sys, time, json
url, arrivals, began = sys.argv[1], [], time.monotonic()
def note(line):
    if line.startswith(b"data: "):
        arrivals.append(round(1000 * (time.monotonic() - began)))
"""
PYTHON_TAIL = """
print(json.dumps({"arrivals": arrivals}))
"""
PYTHON = {
    "urllib": """
import urllib.request
with urllib.request.urlopen(url, timeout=8) as reply:
    for line in reply: note(line)
""",
    "requests": """
import requests
with requests.get(url, stream=True, timeout=8) as reply:
    reply.raise_for_status()
    for line in reply.iter_lines(chunk_size=1): note(line)
""",
    "httpx": """
import httpx
with httpx.stream("GET", url, timeout=8) as reply:
    reply.raise_for_status()
    for line in reply.iter_lines(): note(line.encode())
""",
    "aiohttp": """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.get(url, timeout=aiohttp.ClientTimeout(8)) as reply:
            reply.raise_for_status()
            async for line in reply.content: note(line)
asyncio.run(main())
""",
}
"""`{library: the call}`; the first is Python's own."""


def python_probe(library: str) -> str:
    return PYTHON_HEAD + PYTHON[library] + PYTHON_TAIL


NODE_HEAD = """
const url = process.argv[1], arrivals = [], began = performance.now();
const note = (piece) => {
  for (const line of String(piece).split("\\n"))
    if (line.startsWith("data: ")) arrivals.push(Math.round(performance.now() - began));
};
const told = () => console.log(JSON.stringify({ arrivals }));
const failed = (error) => { console.error(error, error.cause ?? ""); process.exit(1); };
"""
NODE = {
    "fetch": """
(async () => {
  const reply = await fetch(url, { signal: AbortSignal.timeout(8000) });
  const text = new TextDecoder();
  for await (const piece of reply.body) note(text.decode(piece));
  told();
})().catch(failed);
""",
    "https": """
require("https").get(url, (reply) => reply.on("data", note).on("end", told)).on("error", failed);
""",
}


def node_probe(library: str) -> str:
    return NODE_HEAD + NODE[library]


GO = """
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	began, arrivals := time.Now(), []int64{}
	reply, err := (&http.Client{Timeout: 8 * time.Second}).Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(reply.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			arrivals = append(arrivals, time.Since(began).Milliseconds())
		}
	}
	said, _ := json.Marshal(map[string]any{"arrivals": arrivals})
	fmt.Println(string(said))
}
"""

JAVA = """
import java.net.URI;
import java.net.http.*;
import java.time.Duration;
import java.util.*;

public class Probe {
  public static void main(String[] words) throws Exception {
    long began = System.nanoTime();
    List<Long> arrivals = new ArrayList<>();
    URI url = URI.create(words[0]);
    HttpRequest question = HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(8)).build();
    HttpClient client = HttpClient.newHttpClient();
    client.send(question, HttpResponse.BodyHandlers.ofLines()).body().forEach(line -> {
      if (line.startsWith("data: ")) arrivals.add((System.nanoTime() - began) / 1_000_000);
    });
    System.out.println("{\\"arrivals\\": " + arrivals + "}");
    System.exit(0);
  }
}
"""
