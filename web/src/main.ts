import { mount } from "svelte";
import "./app.css";
import App from "./App.svelte";
import { followTheme } from "./theme.ts";

followTheme();
mount(App, { target: document.getElementById("app")! });
