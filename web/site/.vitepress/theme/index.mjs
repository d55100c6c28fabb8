import { h } from 'vue';
import DefaultTheme from 'vitepress/theme';
import Start from './Start.vue';
import Tabs from './Tabs.vue';
import './site.css';

export default {
  extends: DefaultTheme,
  Layout: () => h(DefaultTheme.Layout, null, { 'home-hero-image': () => h(Start) }),
  enhanceApp({ app }) {
    app.component('Tabs', Tabs);
  },
};
