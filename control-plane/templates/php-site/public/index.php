<?php

$name = htmlspecialchars($_GET['name'] ?? 'you', ENT_QUOTES);
?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>{{project}}</title>
</head>
<body>
  <p>{{greeting}} to <?= $name ?>, from PHP</p>
</body>
</html>
