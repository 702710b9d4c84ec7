#!/bin/sh
# The front page: the facts, framed. httpd starts us in our own directory.
escape() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g'; }
facts=$(./facts | sed '1,/^$/d' | escape)
cat <<END
Content-Type: text/html; charset=utf-8
Cache-Control: no-store

<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>It runs</title>
<link rel="stylesheet" href="/style.css">
<main>
<h1>It runs.</h1>
<p>This page comes from a container on somebody's computer. No cloud was asked.</p>
<pre>$facts</pre>
<p>For programs: <a href="/cgi-bin/facts">/cgi-bin/facts</a></p>
</main>
</html>
END
